//! What proxies say of their clients, and who is believed.

use reqwest::Client;
use testing::{
    Db,
    socket::{PROTOCOL, address, upgrade},
};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn the_host_that_a_trusted_proxy_was_asked_for_is_guarded() {
    let hosts = ("COLOPHON_ALLOWED_HOSTS", "books.local");
    for (trusted, evil) in [("127.0.0.1", 403), ("10.0.0.0/8,2001:db8::/32", 200)] {
        let service = Db::sqlite().serve_in(&[hosts, ("COLOPHON_TRUSTED_PROXIES", trusted)]).await;
        for (name, value, status) in [
            ("x-forwarded-host", "books.local", 200),
            ("x-forwarded-host", "localhost", 200),
            ("x-forwarded-host", "evil.example", evil),
            ("x-forwarded-host", "books.local, evil.example", evil),
            ("x-forwarded-host", "evil.example, books.local", 200),
            ("forwarded", "for=192.0.2.7;host=books.local", 200),
            ("forwarded", "for=192.0.2.7;host=\"evil.example:80\"", evil),
            // Ill-formed, and so not read.
            ("forwarded", "for=192.0.2.7;host=\"evil.example", 200),
        ] {
            let get = Client::new().get(&service.url).header(name, value);
            assert_eq!(get.send().await.unwrap().status(), status, "{trusted}, {name}: {value}");
            // A page that has its own name point here cannot pass for a proxy.
            let get = Client::new().get(&service.url).header("host", "evil.example");
            assert_eq!(get.header(name, value).send().await.unwrap().status(), 403, "{value}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn allows_sockets_from_pages_behind_a_trusted_proxy() {
    let hosts = ("COLOPHON_ALLOWED_HOSTS", "books.example");
    for (trusted, through) in [("127.0.0.0/8,::1", true), ("10.0.0.1", false)] {
        let service = Db::sqlite().serve_in(&[hosts, ("COLOPHON_TRUSTED_PROXIES", trusted)]).await;
        for (origin, proto, allowed) in [
            ("https://books.example", "https", through),
            ("http://books.example", "https", false),
            ("https://evil.example", "https", false),
            ("http://books.example", "http", through),
        ] {
            let standard = format!("for=\"[2001:db8::7]:4711\";proto={proto};host=books.example");
            for headers in [
                &[("x-forwarded-proto", proto), ("x-forwarded-host", "books.example")][..],
                &[("forwarded", standard.as_str())],
            ] {
                let all =
                    [&[("origin", origin), ("sec-websocket-protocol", PROTOCOL)], headers].concat();
                let stream = TcpStream::connect(address(&service)).await.unwrap();
                let socket = upgrade(&service, stream, &all).await;
                assert_eq!(socket.is_ok(), allowed, "{trusted}, {all:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_a_wrong_network_at_start() {
    for value in ["proxy.example", "10.0.0.0/33", "10.0.0.1:80"] {
        let output = Db::sqlite().run(&["serve", "--trusted-proxies", value]);
        assert_eq!(output.status.code(), Some(2), "{value}");
        let told = testing::stderr(&output);
        assert!(told.contains("COLOPHON_TRUSTED_PROXIES") && told.contains("10.0.0.0/8"), "{told}");
    }
}
