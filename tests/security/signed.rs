//! Signed tokens: good ones, hostile ones, and keys that change.

use std::{fs, time::Instant};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use reqwest::StatusCode;
use ring::hmac;
use serde_json::{Value, json};
use testing::{Db, Service, socket::Client};

use super::{
    issuer::{AUDIENCE, ISSUER, KeyServer, Signer, claims, message, now, set},
    tokens::{READ, WRITE, ask, code, until},
};

async fn serve(db: &Db, keys: &str) -> Service {
    serve_with(db, keys, &[]).await
}

async fn serve_with(db: &Db, keys: &str, more: &[(&str, &str)]) -> Service {
    let jwt = [
        ("COLOPHON_JWT_ISSUER", ISSUER),
        ("COLOPHON_JWT_AUDIENCE", AUDIENCE),
        ("COLOPHON_JWT_KEYS", keys),
    ];
    db.serve_in(&[&jwt[..], more].concat()).await
}

/// `claims` with one of them changed, or left out.
fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn accepts_good_tokens_of_every_kind() {
    let db = Db::sqlite();
    let signers = [Signer::ec("ec"), Signer::ed("ed"), Signer::rsa("rsa")];
    let file = db.file("keys.json", set(&signers.iter().collect::<Vec<_>>()));
    let service = serve(&db, file.to_str().unwrap()).await;
    for signer in &signers {
        let good = claims("openid books:read", 300);
        for claims in [
            good.clone(),
            with(&good, "aud", json!(["another", AUDIENCE])),
            with(&with(&good, "scope", Value::Null), "scp", json!(["books:read"])),
            with(&with(&good, "scope", Value::Null), "scopes", json!(["books:read"])),
            // Clocks differ by half a minute.
            with(&good, "exp", json!(now() - 10)),
            with(&good, "nbf", json!(now() + 10)),
        ] {
            let token = signer.sign(&claims);
            let (status, answer) = ask(&service, Some(&token), READ).await;
            assert!(status == 200 && answer.get("errors").is_none(), "{}: {claims}", signer.id);
            assert_eq!(code(&ask(&service, Some(&token), WRITE).await.1), "FORBIDDEN");
        }
        // It need not say which key.
        let header = json!({ "alg": signer.algorithm(), "typ": "application/at+JWT" });
        assert_eq!(ask(&service, Some(&signer.sign_with(&header, &good)), READ).await.0, 200);
    }
    let nothing = signers[0].sign(&with(&claims("", 300), "scope", Value::Null));
    assert_eq!(code(&ask(&service, Some(&nothing), READ).await.1), "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_hostile_tokens() {
    let db = Db::sqlite();
    let (ec, rsa, stranger) = (Signer::ec("ec"), Signer::rsa("rsa"), Signer::ec("ec"));
    let file = db.file("keys.json", set(&[&ec, &rsa]));
    let service = serve(&db, file.to_str().unwrap()).await;
    let good = claims("books:read books:write", 300);
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "ec" });
    let mut hostile = vec![
        ("another's signature", stranger.sign(&good)),
        ("no expiry", ec.sign(&with(&good, "exp", Value::Null))),
        ("an expiry that is none", ec.sign(&with(&good, "exp", json!("never")))),
        ("an expiry of long ago", ec.sign(&with(&good, "exp", json!(now() - 31)))),
        ("not yet", ec.sign(&with(&good, "nbf", json!(now() + 60)))),
        ("another's audience", ec.sign(&with(&good, "aud", json!("shop")))),
        ("no audience", ec.sign(&with(&good, "aud", Value::Null))),
        ("another's issuer", ec.sign(&with(&good, "iss", json!("https://evil.example")))),
        ("no issuer", ec.sign(&with(&good, "iss", Value::Null))),
        ("a key that is not known", Signer::ec("new").sign(&good)),
        ("a key of another kind", ec.sign_with(&json!({ "alg": "ES256", "typ": "at+jwt", "kid": "rsa" }), &good)),
        ("another algorithm", rsa.sign_with(&json!({ "alg": "RS512", "typ": "at+jwt", "kid": "rsa" }), &good)),
        (
            "a critical header",
            ec.sign_with(
                &json!({ "alg": "ES256", "typ": "at+jwt", "kid": "ec", "crit": ["b64"], "b64": false }),
                &good,
            ),
        ),
        ("an ID token", ec.sign_with(&json!({ "alg": "ES256", "typ": "JWT", "kid": "ec" }), &good)),
        ("no type", ec.sign_with(&json!({ "alg": "ES256", "kid": "ec" }), &good)),
        ("no algorithm", format!("{}.", message(&json!({ "alg": "none", "typ": "at+jwt" }), &good))),
        ("No algorithm", format!("{}.AA", message(&json!({ "alg": "nOnE", "typ": "at+jwt", "kid": "ec" }), &good))),
        ("no signature", format!("{}.", message(&header, &good))),
        ("too long", ec.sign(&with(&good, "padding", json!("x".repeat(8 * 1024))))),
        ("dots", "..".to_owned()),
        ("rubbish", "a.b.c".to_owned()),
    ];
    // The public key taken for a shared secret, in each form that it is had in.
    let jwk = ec.jwk().to_string();
    for secret in [ec.pem(), jwk, set(&[&ec, &rsa]), String::new()] {
        let message = message(&json!({ "alg": "HS256", "typ": "at+jwt", "kid": "ec" }), &good);
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = BASE64.encode(hmac::sign(&key, message.as_bytes()));
        hostile.push(("a shared secret", format!("{message}.{signature}")));
    }
    let signed = ec.sign(&good);
    assert_eq!(ask(&service, Some(&signed), WRITE).await.0, 200, "it is good before it is changed");
    let (_, signature) = signed.rsplit_once('.').unwrap();
    let more = with(&good, "scope", json!("books:read books:write admin"));
    hostile.push(("changed claims", format!("{}.{signature}", message(&header, &more))));
    for (what, token) in &hostile {
        for query in [READ, WRITE, "{ __typename }"] {
            let (status, answer) = ask(&service, Some(token), query).await;
            assert_eq!(status, 401, "{what}: {answer}");
        }
    }
    // Only whoever had a good one is told that it was.
    let message = |answer: &Value| answer["errors"][0]["message"].as_str().unwrap().to_owned();
    let old = with(&good, "exp", json!(now() - 31));
    assert!(message(&ask(&service, Some(&ec.sign(&old)), READ).await.1).contains("expired"));
    assert!(!message(&ask(&service, Some(&stranger.sign(&old)), READ).await.1).contains("expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_algorithms_of_the_settings_are_taken() {
    let db = Db::sqlite();
    let (ec, ed) = (Signer::ec("ec"), Signer::ed("ed"));
    let file = db.file("keys.json", set(&[&ec, &ed]));
    let only = [("COLOPHON_JWT_ALGORITHMS", "ES256")];
    let service = serve_with(&db, file.to_str().unwrap(), &only).await;
    let good = claims("books:read", 300);
    assert_eq!(ask(&service, Some(&ec.sign(&good)), READ).await.0, 200);
    assert_eq!(ask(&service, Some(&ed.sign(&good)), READ).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_a_file_of_keys() {
    let db = Db::sqlite();
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let file = db.file("key.pem", old.pem());
    let service = serve(&db, file.to_str().unwrap()).await;
    let (first, second) =
        (old.sign(&claims("books:read", 300)), new.sign(&claims("books:read", 300)));
    assert_eq!(ask(&service, Some(&first), READ).await.0, 200);
    assert_eq!(ask(&service, Some(&second), READ).await.0, 401);
    fs::write(&file, set(&[&new])).unwrap();
    until(&service, &second, 200).await;
    assert_eq!(ask(&service, Some(&first), READ).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn refreshes_keys_of_a_server() {
    let db = Db::sqlite();
    let (old, new, never) = (Signer::ec("old"), Signer::ed("new"), Signer::ec("never"));
    let server = KeyServer::start(&[&old]).await;
    let service = serve_with(&db, &server.url, &[("COLOPHON_JWT_REFRESH", "1h")]).await;
    let token = |signer: &Signer| signer.sign(&claims("books:read", 300));
    until(&service, &token(&old), 200).await;

    // A token that names a new key has the keys fetched, but not more often than every few seconds.
    server.publish(set(&[&new]));
    let (before, since) = (server.asked(), Instant::now());
    until(&service, &token(&new), 200).await;
    assert_eq!(ask(&service, Some(&token(&old)), READ).await.0, 401);
    for _ in 0..50 {
        assert_eq!(ask(&service, Some(&token(&never)), READ).await.0, 401);
    }
    let (asked, seconds) = (server.asked() - before, since.elapsed().as_secs());
    assert!(asked as u64 <= 1 + seconds.div_ceil(5), "{asked} times in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_tokens_when_the_key_server_fails() {
    let db = Db::sqlite();
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let server = KeyServer::start(&[&old]).await;
    server.fail(true);
    // It starts although the keys are away, and lets people in when they come.
    let service = serve_with(&db, &server.url, &[("COLOPHON_JWT_REFRESH", "300ms")]).await;
    let (first, second) =
        (old.sign(&claims("books:read", 300)), new.sign(&claims("books:read", 300)));
    assert_eq!(ask(&service, Some(&first), READ).await.0, 401);
    server.fail(false);
    until(&service, &first, 200).await;

    server.fail(true);
    server.asked_again(2).await;
    assert_eq!(ask(&service, Some(&first), READ).await.0, 200);
    server.fail(false);
    for nonsense in ["", "{}", "<html>", r#"{ "keys": [] }"#, &"x".repeat(2_000_000)] {
        server.publish(nonsense.to_owned());
        server.asked_again(2).await;
        assert_eq!(ask(&service, Some(&first), READ).await.0, 200, "{}", nonsense.len());
    }
    // Every so often they are fetched though nobody asks for a new one.
    server.publish(set(&[&new]));
    server.asked_again(2).await;
    until(&service, &first, 401).await;
    assert_eq!(ask(&service, Some(&second), READ).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_claims_to_scopes_by_settings() {
    let db = Db::sqlite();
    let ec = Signer::ec("ec");
    let file = db.file("keys.json", set(&[&ec]));
    let settings = [
        ("COLOPHON_JWT_TYPES", "JWT,none"),
        ("COLOPHON_JWT_SCOPE_CLAIMS", "permissions,/realm_access/roles"),
        ("COLOPHON_JWT_ROLES", "librarian=books:read,librarian=books:write,read:books=books:read"),
    ];
    let service = serve_with(&db, file.to_str().unwrap(), &settings).await;
    let plain = claims("books:read books:write", 300);
    let auth0 = with(&plain, "permissions", json!(["read:books"]));
    let keycloak =
        with(&plain, "realm_access", json!({ "roles": ["librarian", "offline_access"] }));
    let headers = [json!({ "alg": "ES256", "typ": "jwt" }), json!({ "alg": "ES256" })];
    for header in &headers {
        for (claims, reads, writes) in
            [(&plain, false, false), (&auth0, true, false), (&keycloak, true, true)]
        {
            let token = ec.sign_with(header, claims);
            for (query, may) in [(READ, reads), (WRITE, writes)] {
                let (status, answer) = ask(&service, Some(&token), query).await;
                assert_eq!(
                    (status, answer.get("errors").is_none()),
                    (StatusCode::OK, may),
                    "{claims} {answer}"
                );
            }
        }
    }
    // Which is then not taken any more.
    assert_eq!(ask(&service, Some(&ec.sign(&keycloak)), READ).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_a_socket_when_its_token_expires() {
    let db = Db::sqlite();
    let ec = Signer::ec("ec");
    let file = db.file("keys.json", set(&[&ec]));
    let service = serve(&db, file.to_str().unwrap()).await;
    // Clocks may differ by half a minute.
    let end = now() + 5;
    let token = ec.sign(&with(&claims("books:read", 0), "exp", json!(end - 30)));
    let mut client = Client::open(&service).await;
    client.greet_with(&token).await;
    client.subscribe("1", READ).await;
    assert!(client.answer("1").await.get("errors").is_none());
    assert_eq!(client.closed().await, (4403, "The token has expired.".to_owned()));
    assert!((end..end + 3).contains(&now()), "{} s late", now() - end);
}
