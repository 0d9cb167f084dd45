//! Several servers: one dies, hangs, refuses or comes back, and no call is lost while another lives.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::ServerCounts;

/// Many calls at once: every one has to be answered.
async fn all_are_answered(writer: &OpenAiWriter, count: usize) {
    let request = request();
    for written in join_all((0..count).map(|_| writer.write(&request))).await {
        assert_eq!(written.unwrap().text, "Doc 1: a");
    }
}

/// Calls, one after another, until the server that was away has shown that it works.
async fn until_returned(writer: &OpenAiWriter) {
    let returned = async {
        while writer.servers().counts().returned == 0 {
            all_are_answered(writer, 1).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), returned).await;
    assert!(in_time.is_ok(), "it rests for 20 ms at most");
}

fn is_health(request: &Request) -> bool {
    request.method() == axum::http::Method::GET
}

/// A server that is ill while `ill` says so: it answers everything with `illness` then.
async fn serve_ill(ill: &Arc<AtomicBool>, illness: fn() -> Response) -> (String, Arc<AtomicUsize>) {
    let (ill, count) = (ill.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    let url = serve(move |request| {
        let is_ill = ill.load(Ordering::SeqCst);
        counted.fetch_add(usize::from(!is_health(&request)), Ordering::SeqCst);
        async move { if is_ill { illness() } else { GOOD.into_response() } }
    })
    .await;
    (url, count)
}

/// By hand: of 20 calls, 15 go to the server of weight 3 and 5 to that of weight 1, made one after another or at once.
#[tokio::test]
async fn calls_are_shared_by_weight() {
    for at_once in [1, 20] {
        let (light, at_light) = serve_after(0, || StatusCode::OK.into_response()).await;
        let (heavy, at_heavy) = serve_after(0, || StatusCode::OK.into_response()).await;
        let both = writer(&[&light, &format!("{heavy}=3")]);
        for _ in 0..20 / at_once {
            all_are_answered(&both, at_once).await;
        }
        assert_eq!((at_light.load(Ordering::SeqCst), at_heavy.load(Ordering::SeqCst)), (5, 15));
    }
}

#[tokio::test]
async fn a_failing_server_is_passed_over_and_comes_back_when_it_is_well() {
    let illnesses: [fn() -> Response; 4] = [
        || StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        || StatusCode::SERVICE_UNAVAILABLE.into_response(),
        || StatusCode::TOO_MANY_REQUESTS.into_response(),
        half_a_reply,
    ];
    for illness in illnesses {
        let ill = Arc::new(AtomicBool::new(true));
        let (one, at_one) = serve_ill(&ill, illness).await;
        let (other, _) = serve_after(0, || StatusCode::OK.into_response()).await;
        let both = writer(&[&one, &other]);
        all_are_answered(&both, 20).await;
        assert_eq!(both.servers().counts(), ServerCounts { all: 2, up: 1, removed: 1, returned: 0 });
        ill.store(false, Ordering::SeqCst);
        let before = at_one.load(Ordering::SeqCst);
        until_returned(&both).await;
        assert_eq!(both.servers().counts(), ServerCounts { all: 2, up: 2, removed: 1, returned: 1 });
        all_are_answered(&both, 20).await;
        assert!(at_one.load(Ordering::SeqCst) >= before + 10, "it takes its share again");
    }
}

/// It accepts and never answers, when its health is asked for too.
#[tokio::test]
async fn a_server_that_hangs_is_found_by_the_time_limit() {
    let hangs = Arc::new(AtomicBool::new(true));
    let hung = hangs.clone();
    let one = serve(move |_| {
        let hangs = hung.load(Ordering::SeqCst);
        async move { if hangs { std::future::pending().await } else { GOOD.into_response() } }
    })
    .await;
    let (other, _) = serve_after(0, || StatusCode::OK.into_response()).await;
    let hasty = OpenAiSettings { timeout: Duration::from_millis(300), ..settings(&[&one, &other]) };
    let both = OpenAiWriter::new(hasty).unwrap();
    all_are_answered(&both, 20).await;
    assert_eq!(both.servers().counts(), ServerCounts { all: 2, up: 1, removed: 1, returned: 0 });
    hangs.store(false, Ordering::SeqCst);
    until_returned(&both).await;
}

/// Its engine is dead and its front does not know: each time it says that it is well, one call finds that it is not, and is
/// answered by the other.
#[tokio::test]
async fn a_server_that_only_says_that_it_is_well_gets_one_call_at_a_time() {
    let (now, most, trials) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::default());
    let (here, peak, made) = (now.clone(), most.clone(), Arc::<AtomicUsize>::clone(&trials));
    let one = serve(move |request| {
        let (here, peak, made) = (here.clone(), peak.clone(), made.clone());
        async move {
            if is_health(&request) {
                return GOOD.into_response();
            }
            if made.fetch_add(1, Ordering::SeqCst) > 0 {
                peak.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                here.fetch_sub(1, Ordering::SeqCst);
            }
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    })
    .await;
    let (other, _) = serve_after(0, || StatusCode::OK.into_response()).await;
    let both = writer(&[&one, &other]);
    all_are_answered(&both, 1).await;
    all_are_answered(&both, 1).await;
    let tried = async {
        while trials.load(Ordering::SeqCst) < 4 {
            all_are_answered(&both, 8).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), tried).await.is_ok(), "it rests for 20 ms at most");
    assert_eq!(most.load(Ordering::SeqCst), 1);
    assert_eq!(both.servers().counts(), ServerCounts { all: 2, up: 1, removed: 1, returned: 0 });
}

/// Search-R1's server has no address for its health: that it says so is a sign of life.
#[tokio::test]
async fn a_server_without_an_address_for_its_health_comes_back_too() {
    let ill = Arc::new(AtomicBool::new(true));
    let illness = ill.clone();
    let one = serve(move |request| {
        let is_ill = illness.load(Ordering::SeqCst);
        async move {
            match is_ill {
                true => StatusCode::BAD_GATEWAY.into_response(),
                false if is_health(&request) => StatusCode::NOT_FOUND.into_response(),
                false => GOOD.into_response(),
            }
        }
    })
    .await;
    let (other, _) = serve_after(0, || StatusCode::OK.into_response()).await;
    let both = writer(&[&one, &other]);
    all_are_answered(&both, 4).await;
    ill.store(false, Ordering::SeqCst);
    until_returned(&both).await;
}

/// With one try for each call: three servers that cannot answer, each in its own way, and one that can.
#[tokio::test]
async fn a_call_is_not_lost_while_one_server_lives() {
    let (broken, _) = serve_after(usize::MAX, || StatusCode::BAD_GATEWAY.into_response()).await;
    let (stranger, _) = serve_after(usize::MAX, || StatusCode::UNAUTHORIZED.into_response()).await;
    let dead = dead_url().await;
    let (alive, at_alive) = serve_after(0, || StatusCode::OK.into_response()).await;
    let once = |urls: &[&String]| OpenAiWriter::new(OpenAiSettings { tries: 1, ..settings(urls) }).unwrap();
    let four = once(&[&broken, &dead, &stranger, &alive]);
    for _ in 0..10 {
        all_are_answered(&four, 5).await;
    }
    assert_eq!(at_alive.load(Ordering::SeqCst), 50);
    let three = once(&[&broken, &dead, &stranger]);
    for _ in 0..2 {
        let why = three.write(&request()).await.unwrap_err();
        let said = why.to_string();
        assert!(said.starts_with("none of 3 servers answered, 3 tries: "), "{said}");
        for reason in [
            format!("{broken}/v1 refused with status 502"),
            format!("{dead}/v1 could not be reached"),
            format!("{stranger}/v1 refused with status 401"),
        ] {
            assert!(said.contains(&reason), "{said}");
        }
    }
}

/// What is wrong with the request is wrong everywhere: the others are not asked, and nobody is set aside.
#[tokio::test]
async fn a_wrong_request_is_no_failure_of_a_server() {
    let (one, at_one) = serve_after(usize::MAX, || StatusCode::BAD_REQUEST.into_response()).await;
    let (other, at_other) = serve_after(usize::MAX, || StatusCode::BAD_REQUEST.into_response()).await;
    let both = writer(&[&one, &other]);
    let why = both.write(&request()).await.unwrap_err();
    assert!(matches!(why, SearchError::Refused { status: 400, .. }), "{why}");
    assert_eq!(at_one.load(Ordering::SeqCst) + at_other.load(Ordering::SeqCst), 1);
    assert_eq!(both.servers().counts(), ServerCounts { all: 2, up: 2, removed: 0, returned: 0 });
}
