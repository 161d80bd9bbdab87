use super::*;

fn checked(options: &AccessOptions, http: &str, proxies: &str) -> Result<Access, Vec<String>> {
    let mut problems = Vec::new();
    let proxies = TrustedProxies::from_option(&mut problems, Some(proxies));
    let (http, admin) = (http.parse().ok(), "127.0.0.1:9090".parse().ok());
    options.validate(&mut problems, http, admin, &proxies).ok_or(problems)
}

fn with(auth: &str) -> AccessOptions {
    AccessOptions { auth: Some(auth.into()), ..AccessOptions::default() }
}

#[test]
fn this_machine_needs_no_decision_and_a_network_does() {
    let none = AccessOptions::default();
    for local in ["127.0.0.1:8080", "127.0.0.9:0", "[::1]:8080"] {
        assert!(matches!(checked(&none, local, "").unwrap().auth, Auth::Local), "{local}");
    }
    for reached in ["0.0.0.0:8080", "[::]:8080", "192.168.1.5:8080"] {
        let problems = checked(&none, reached, "").unwrap_err();
        let [one] = &problems[..] else { panic!("{problems:?}") };
        assert!(one.starts_with("--auth: needed") && one.contains(reached), "{one}");
        assert!(matches!(checked(&with("none"), reached, "").unwrap().auth, Auth::Everybody));
    }
    let empty = with("");
    assert!(checked(&empty, "0.0.0.0:8080", "").is_err(), "a variable that is empty");
}

#[test]
fn each_mode_names_what_it_lacks() {
    let jwks = AccessOptions { auth_jwks: Some("/absent".into()), ..with("token") };
    let service = AccessOptions { auth_http: Some("http://10.0.0.1/".into()), ..with("http") };
    let unused = AccessOptions { auth_audience: Some("video".into()), ..with("none") };
    let header = AccessOptions { auth_header: "a b".into(), ..with("proxy") };
    let frames = AccessOptions { frame_ancestors: "'self'; script-src *".into(), ..with("none") };
    let admin = AccessOptions { admin_token_file: Some("/absent".into()), ..with("none") };
    for (options, proxies, starts) in [
        (with("token"), "", "--auth: `token` needs"),
        (with("proxy"), "", "--auth: `proxy` needs"),
        (with("http"), "", "--auth: `http` needs"),
        (service, "", "--auth-http: `http://10.0.0.1/` is not"),
        (unused, "", "--auth-audience: only with --auth token"),
        (with("basic"), "", "--auth: `basic` is not one of"),
        (header, "10.0.0.1", "--auth-header: `a b`"),
        (jwks, "", "--auth-jwks: cannot read `/absent`: "),
        (frames, "", "--frame-ancestors: "),
        (admin, "", "--admin-token-file: cannot read `/absent`: "),
    ] {
        let problems = checked(&options, "0.0.0.0:80", proxies).unwrap_err();
        let [one] = &problems[..] else { panic!("{problems:?}") };
        assert!(one.starts_with(starts), "{one}");
    }
}

#[test]
fn two_links_differ() {
    let link = || match checked(&with("link"), "0.0.0.0:80", "").unwrap().auth {
        Auth::Link(token) => token,
        other => panic!("{other:?}"),
    };
    assert!(!link().is(link().text()));
}
