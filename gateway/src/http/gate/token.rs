//! Where a request has its access token, and the page's exchange of one for a cookie.

use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, ORIGIN, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use crate::http::HttpState;

/// The page's cookie.
const COOKIE_NAME: &str = "reframe_token";

/// `POST /api/token`: takes the access token of `Authorization` and gives it back as a cookie that
/// no script reads and no other site's page sends.
pub(in crate::http) async fn exchange(
    shared: web::Data<HttpState>,
    request: HttpRequest,
) -> HttpResponse {
    let known = shared.pool.streams().into_keys();
    if let Err(refused) = shared.gate.visible(&request, known).await {
        return *refused;
    }
    let mut answer = HttpResponse::NoContent();
    if let Ok(Some(token)) =
        access_token(&request).map(|token| token.filter(|token| is_cookie(token)))
    {
        let origin = request.headers().get(ORIGIN).and_then(|origin| origin.to_str().ok());
        let secure = origin.is_some_and(|origin| origin.starts_with("https://"));
        let secure = if secure { "; Secure" } else { "" };
        let cookie = format!("{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Strict{secure}");
        answer.insert_header((SET_COOKIE, cookie));
    }
    answer.finish()
}

/// `GET /api/token`: whether the request shows what is needed, and whom it shows.
pub(in crate::http) async fn check(
    shared: web::Data<HttpState>,
    request: HttpRequest,
) -> HttpResponse {
    let known = shared.pool.streams().into_keys();
    match shared.gate.visible(&request, known).await {
        Ok(visible) => {
            let subject = visible.into_values().find_map(|grant| grant.subject);
            HttpResponse::Ok()
                .insert_header((CACHE_CONTROL, "no-store"))
                .json(json!({ "subject": subject }))
        }
        Err(refused) => *refused,
    }
}

/// RFC 6265, 4.1.1: `cookie-octet`.
fn is_cookie(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\'))
}

pub(super) fn shows_token(request: &HttpRequest) -> bool {
    !matches!(access_token(request), Ok(None))
}

/// The access token, in `Authorization` or in the page's cookie.
pub(in crate::http) fn access_token(request: &HttpRequest) -> Result<Option<&str>, &'static str> {
    if let Some(token) = bearer(request)? {
        return Ok(Some(token));
    }
    let cookies = request.headers().get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let mut cookies = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='));
    match (cookies.next(), cookies.next()) {
        (Some(_), Some(_)) => Err("two cookies with a token: delete this site's cookies"),
        (token, _) => Ok(token),
    }
}

/// The token in `Authorization`. Another scheme is another's: a proxy in front may ask for a
/// password.
pub(in crate::http) fn bearer(request: &HttpRequest) -> Result<Option<&str>, &'static str> {
    let mut bearers = request.headers().get_all(AUTHORIZATION).filter_map(|value| {
        let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match (bearers.next(), bearers.next()) {
        (Some(_), Some(_)) => Err("two tokens in `Authorization`: leave one out"),
        (token, _) => Ok(token),
    }
}
