//! The page, embedded in the binary, and what it shows before a session starts.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{HttpState, readable, stream_of};
use crate::workers::placement;

/// The page may load from and connect to this server only; the video is a `MediaStream`, which
/// needs no source.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
                           base-uri 'none'; form-action 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// The page of a stream.
const STREAM: &str = include_str!("page/index.html");
/// The list of streams, where there are several.
const INDEX: &str = include_str!("page/streams.html");

macro_rules! files {
    ($($kind:ident: $($name:literal)*;)*) => {
        &[$($((concat!("/", $name), $kind, include_str!(concat!("page/", $name))),)*)*]
    };
}

/// The files that the pages load.
const FILES: &[(&str, &str, &str)] = files! {
    SCRIPT: "camera.js" "connection.js" "diagnosis.js" "element.js" "figures.js" "inputs.js" "messages.js" "network.js" "outcome.js" "outputs.js"
        "page.js" "plot.js" "request.js" "screen.js" "session.js" "signalling.js" "spec.js" "streams.js";
    STYLE: "panels.css" "stream.css" "streams.css" "style.css";
};

/// Adds their routes.
pub(super) fn files(config: &mut web::ServiceConfig) {
    for &(path, kind, body) in FILES {
        config.service(readable(path, move || async move { file(kind, body) }));
    }
}

/// `GET /`: the page of the path's stream. At the root: the page of the only stream, or the list of
/// several. Before the first worker is known: the stream's page, which waits for it.
pub(super) async fn page(shared: web::Data<HttpState>, request: HttpRequest) -> HttpResponse {
    match stream_of(&request) {
        None if shared.pool.streams().len() > 1 => html(&shared, INDEX),
        Some(name) if shared.pool.stream(Some(&name)).is_none() => nowhere(),
        _ => html(&shared, STREAM),
    }
}

/// `GET /NAME`: the page's own paths are relative to `/NAME/`.
pub(super) async fn slash(shared: web::Data<HttpState>, request: HttpRequest) -> HttpResponse {
    match stream_of(&request).filter(|name| shared.pool.stream(Some(name)).is_some()) {
        Some(name) => {
            // What is asked for is meant for the page.
            let query = Some(request.query_string()).filter(|query| !query.is_empty());
            let query = query.map_or_else(String::new, |query| format!("?{query}"));
            let to = (LOCATION, format!("{name}/{query}"));
            HttpResponse::TemporaryRedirect().insert_header(to).finish()
        }
        None => nowhere(),
    }
}

/// The query of `/api/streams`.
#[derive(Deserialize)]
pub(super) struct Query {
    /// The digest of a declaration.
    declaration: Option<String>,
}

/// `GET /api/streams`: the streams that are served now; below a name, only that one. Each as its
/// newest generation declares it, or the generation whose declaration is asked for.
pub(super) async fn streams(
    shared: web::Data<HttpState>,
    request: HttpRequest,
    query: web::Query<Query>,
) -> HttpResponse {
    let known = shared.pool.streams().into_keys();
    let visible = match shared.gate.visible(&request, known).await {
        Ok(visible) => visible,
        Err(refused) => return *refused,
    };
    let serving = shared.pool.serving();
    let name = stream_of(&request);
    let mut streams: Vec<Value> = Vec::new();
    for (stream, spec) in shared.pool.streams() {
        let workers: Vec<_> =
            serving.iter().filter(|worker| worker.spec.name == stream).cloned().collect();
        if !workers.is_empty()
            && name.as_ref().is_none_or(|name| *name == stream)
            && let Some(grant) = visible.get(&stream)
        {
            let asked = query.declaration.as_ref().and_then(|digest| {
                let mut generations =
                    workers.chunk_by(|one, next| one.spec.differences(&next.spec).is_empty());
                generations.find(|workers| workers[0].spec.digest() == *digest)
            });
            let spec = asked.map_or(&spec, |workers| &workers[0].spec);
            let mut spec = spec.as_ref().clone();
            // What the token has fixed is not the client's to set.
            spec.inputs.retain(|input| !grant.inputs.contains_key(&input.name));
            streams.push(spec.to_json(placement::limit(&workers)));
        }
    }
    HttpResponse::Ok().json(json!({ "streams": streams }))
}

fn html(shared: &HttpState, body: &'static str) -> HttpResponse {
    let ancestors = &shared.gate.access().frame_ancestors;
    answer(HTML, &format!("{PAGE_POLICY}; frame-ancestors {ancestors}"), body)
}

fn file(kind: &str, body: &'static str) -> HttpResponse {
    answer(kind, PAGE_POLICY, body)
}

fn answer(kind: &str, policy: &str, body: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .body(body)
}

fn nowhere() -> HttpResponse {
    HttpResponse::NotFound().content_type(TEXT).body("There is no such stream here.\n")
}
