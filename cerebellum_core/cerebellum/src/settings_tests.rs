use super::*;

fn paper() -> Flags {
    Flags {
        venue: Some(Venue::Paper),
        rest: Some("http://127.0.0.1:8080/".to_owned()),
        ws: Some("ws://127.0.0.1:8080".to_owned()),
        journal: Some("j.sqlite".into()),
        symbols: Some(vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()]),
        run_folder: Some("/tmp/crucible-x".into()),
        ..Flags::default()
    }
}

#[test]
fn a_paper_run_needs_no_more_than_addresses_journal_symbols_and_folder() {
    let settings = paper().check().unwrap();
    assert_eq!(settings.rest, "http://127.0.0.1:8080");
    assert_eq!(settings.ws_private, "ws://127.0.0.1:8080/v5/private");
    assert_eq!(settings.ws_public, "ws://127.0.0.1:8080/v5/public/linear");
    assert_eq!(settings.sockets[0], "ipc:///tmp/crucible-x/commands");
}

#[test]
fn real_money_needs_the_second_flag_on_the_command_line() {
    let live = Flags { venue: Some(Venue::Live), rest: None, ws: None, ..paper() };
    assert!(live.clone().check().unwrap_err().to_string().contains("real money"));
    let meant = Flags { i_understand_this_is_real_money: true, ..live };
    assert_eq!(meant.check().unwrap().rest, "https://api.bybit.com");
    let file: Result<Flags, _> =
        toml::from_str("venue = \"live\"\ni_understand_this_is_real_money = true\n");
    let merged = Flags { ..file.unwrap() };
    assert!(merged.i_understand_this_is_real_money, "the file is read, with_config drops it");
}

#[test]
fn a_paper_or_testnet_run_cannot_reach_a_live_host() {
    for rest in ["https://api.bybit.com", "http://user@127.0.0.1@api.bybit.com", "ftp://127.0.0.1"]
    {
        let flags = Flags { rest: Some(rest.to_owned()), ..paper() };
        assert!(flags.check().is_err(), "{rest}");
    }
    let testnet = Flags {
        venue: Some(Venue::Testnet),
        rest: Some("https://api.bybit.com".to_owned()),
        ..paper()
    };
    assert!(testnet.check().is_err());
}

#[test]
fn a_bind_that_others_could_reach_is_refused_with_advice() {
    for address in
        ["tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://10.0.0.1:5555", "udp://127.0.0.1:1"]
    {
        let flags = Flags { commands: Some(address.to_owned()), ..paper() };
        let error = flags.check().unwrap_err().to_string();
        assert!(error.contains("tunnel"), "{error}");
    }
    let elsewhere = Flags { events: Some("ipc:///tmp/events".to_owned()), ..paper() };
    assert!(elsewhere.check().unwrap_err().to_string().contains("run folder"));
    let tcp = Flags { market: Some("tcp://127.0.0.1:0".to_owned()), ..paper() };
    assert_eq!(tcp.check().unwrap().sockets[2], "tcp://127.0.0.1:*");
    let metrics = Flags { metrics: Some("0.0.0.0:9100".to_owned()), ..paper() };
    assert!(metrics.check().unwrap_err().to_string().contains("loopback"));
}

#[test]
fn a_socket_path_too_long_for_the_system_is_reported_with_its_length() {
    let flags = Flags { run_folder: Some(format!("/tmp/{}", "x".repeat(120)).into()), ..paper() };
    let error = flags.check().unwrap_err().to_string();
    assert!(error.contains("107") && error.contains("--run-folder"), "{error}");
}

#[test]
fn a_file_with_an_unknown_key_is_refused() {
    assert!(toml::from_str::<Flags>("venu = \"paper\"").is_err());
    let file: Flags = toml::from_str("venue = \"paper\"\nsymbols = [\"BTCUSDT\"]").unwrap();
    assert_eq!(file.venue, Some(Venue::Paper));
}

#[test]
fn orders_go_over_the_trade_socket_but_the_demo_has_none() {
    let trade = |flags: Flags| flags.check().map(|settings| settings.ws_trade);
    assert_eq!(trade(paper()), Ok(Some("ws://127.0.0.1:8080/v5/trade".to_owned())));
    assert_eq!(trade(Flags { orders: Some(OrderRoute::Rest), ..paper() }), Ok(None));
    let demo = Flags { venue: Some(Venue::Demo), rest: None, ws: None, ..paper() };
    assert_eq!(trade(demo.clone()), Ok(None));
    let error =
        trade(Flags { orders: Some(OrderRoute::Websocket), ..demo }).unwrap_err().to_string();
    assert!(error.contains("--orders rest"), "{error}");
    let file: Flags = toml::from_str("orders = \"rest\"\nleverage = \"3\"").unwrap();
    assert_eq!((file.orders, file.leverage.as_deref()), (Some(OrderRoute::Rest), Some("3")));
}

#[test]
fn a_leverage_that_is_no_number_or_below_one_is_refused() {
    for text in ["", "ten", "0", "-2", "NaN", "1e1"] {
        let flags = Flags { leverage: Some(text.to_owned()), ..paper() };
        assert!(flags.check().unwrap_err().to_string().contains("--leverage"), "{text}");
    }
    let flags = Flags { leverage: Some("2.5".to_owned()), ..paper() };
    assert_eq!(flags.check().unwrap().leverage.as_deref(), Some("2.5"));
}
