//! Examples to begin with: golden vectors, rows as the venue documents them, recorded frames.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde_json::Value;

/// The longest recorded frame that is taken, bytes: snapshots of 200 levels teach nothing new.
const LONGEST: usize = 3_000;
/// How many recorded frames are taken.
const MOST: usize = 400;

/// Rows of REST answers and of the private stream, one each.
pub const ROWS: [&str; 8] = [
    r#"{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"orderId":"o1","orderLinkId":"c-1","symbol":"BTCUSDT","price":"50000","qty":"0.01","side":"Buy","orderStatus":"Cancelled","cancelType":"CancelByUser","rejectReason":"EC_PerCancelRequest","cumExecQty":"0.005"}],"nextPageCursor":""},"retExtInfo":{},"time":1700000000123}"#,
    r#"{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"symbol":"BTCUSDT","orderId":"o1","orderLinkId":"c-1","side":"Buy","execId":"e1","execPrice":"50000","execQty":"0.01","execFee":"0.275","feeCurrency":"USDT","execType":"Trade","execTime":"1700000000001","isMaker":false}],"nextPageCursor":"c.1"},"time":1700000000123}"#,
    r#"{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"symbol":"BTCUSDT","side":"Sell","size":"0.01","positionIdx":0}],"nextPageCursor":""},"time":1}"#,
    r#"{"retCode":0,"retMsg":"OK","result":{"list":[{"accountType":"UNIFIED","coin":[{"coin":"USDT","walletBalance":"10000"}]}]},"time":1}"#,
    r#"{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"symbol":"BTCUSDT","priceFilter":{"minPrice":"0.10","maxPrice":"1999999.80","tickSize":"0.10"},"lotSizeFilter":{"minOrderQty":"0.001","maxOrderQty":"1190.000","qtyStep":"0.001","maxMktOrderQty":"500.000","minNotionalValue":"5"}}]},"time":1}"#,
    r#"{"retCode":0,"retMsg":"OK","result":{"category":"linear","symbol":"BTCUSDT","list":[["1700000000000","1","3","0.5","2","10","20"]]},"time":1}"#,
    r#"{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1700000000","timeNano":"1700000000123000000"},"time":1700000000123}"#,
    r#"{"retCode":110007,"retMsg":"ab not enough for new order","result":{},"retExtInfo":{},"time":1}"#,
];

/// Frames of the private stream.
pub const PRIVATE: [&str; 5] = [
    r#"{"id":"m1","topic":"order","creationTime":1,"data":[{"category":"linear","orderId":"o1","orderLinkId":"c-1","symbol":"BTCUSDT","qty":"0.01","price":"1","orderStatus":"Filled","cumExecQty":"0.01","cancelType":"UNKNOWN","rejectReason":"EC_NoError"}]}"#,
    r#"{"id":"m2","topic":"execution","creationTime":1,"data":[{"category":"linear","symbol":"BTCUSDT","orderId":"o1","orderLinkId":"c-1","side":"Sell","execId":"e1","execPrice":"50000","execQty":"0.01","execFee":"-0.1","feeCurrency":"","execType":"Trade","execTime":"1700000000001","isMaker":true}]}"#,
    r#"{"id":"m3","topic":"wallet","creationTime":1,"data":[{"accountType":"UNIFIED","coin":[{"coin":"USDT","walletBalance":"10000.5"}]}]}"#,
    r#"{"success":true,"ret_msg":"","op":"auth","conn_id":"c"}"#,
    r#"{"req_id":"1","op":"pong","args":["1700000000000"],"conn_id":"c"}"#,
];

/// Answers of the trade socket.
pub const TRADE: [&str; 4] = [
    r#"{"reqId":"r-1","retCode":0,"retMsg":"OK","op":"order.create","data":{"orderId":"o","orderLinkId":"c-1"},"retExtInfo":{},"header":{"X-Bapi-Limit":"10","X-Bapi-Limit-Status":"9","X-Bapi-Limit-Reset-Timestamp":"1700000000000"},"connId":"c"}"#,
    r#"{"reqId":"r-2","retCode":10006,"retMsg":"Too many visits!","op":"order.cancel","data":{},"header":{"X-Bapi-Limit-Status":"0","X-Bapi-Limit-Reset-Timestamp":"1700000000000"},"connId":"c"}"#,
    r#"{"retCode":0,"retMsg":"OK","op":"pong","data":["1700000000000"],"connId":"c"}"#,
    r#"{"reqId":"login","retCode":10004,"retMsg":"error sign!","op":"auth","connId":"c"}"#,
];

/// Frames of the public streams.
pub const PUBLIC: [&str; 6] = [
    r#"{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1000,"data":{"s":"BTCUSDT","b":[["50000.0","1.5"],["49999.9","2"]],"a":[["50000.1","2"]],"u":10,"seq":100},"cts":1}"#,
    r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":2100,"data":{"s":"BTCUSDT","b":[["50000.0","0"]],"a":[["50000.2","1"]],"u":11,"seq":101},"cts":1}"#,
    r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[{"T":1,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"50000","L":"PlusTick","i":"uuid","BT":false,"seq":1}]}"#,
    r#"{"topic":"kline.1.BTCUSDT","type":"snapshot","ts":60000,"data":[{"start":0,"end":59999,"interval":"1","open":"1","close":"2","high":"3","low":"1","volume":"5","turnover":"9","confirm":true,"timestamp":60000}]}"#,
    r#"{"success":true,"ret_msg":"","conn_id":"c","req_id":"1","op":"subscribe"}"#,
    r#"{"success":false,"ret_msg":"error:handler not found,topic:x","conn_id":"c","op":"subscribe"}"#,
];

/// Settings files and limits files.
pub const FILES: [&str; 4] = [
    "venue = \"paper\"\nrest = \"http://127.0.0.1:1\"\nws = \"ws://127.0.0.1:1\"\njournal = \"j\"\nsymbols = [\"BTCUSDT\"]\nrun_folder = \"/tmp/x\"\norders = \"rest\"\nleverage = \"3\"\nping_ms = 100\n",
    "venue = \"demo\"\njournal = \"j\"\nsymbols = [\"BTCUSDT\", \"ETHUSDT\"]\nrun_folder = \"/tmp/x\"\nmetrics = \"127.0.0.1:0\"\ncommands = \"tcp://127.0.0.1:0\"\n",
    "[order]\nmax_notional = \"25000\"\ncollar_bps = 500\nper_second_per_agent = 10\n[position]\nmax_notional = \"50000\"\nmax_total_notional = \"200000\"\n",
    "[daily_loss]\nagent = \"500\"\ntotal = \"2000\"\n[venue]\norders_per_second = 10\n",
];

/// Requests, frames and faults that come to the paper venue, each with the channel that it comes in by.
pub const PAPER: [&str; 30] = [
    r#"{"door":"rest","method":"POST","path":"/v5/order/create","body":{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Market","qty":"0.01","takeProfit":"99999","stopLoss":"1000","tpslMode":"Partial","tpOrderType":"Limit","tpLimitPrice":"99990","slippageToleranceType":"TickSize","slippageTolerance":"100","orderLinkId":"c-1"}}"#,
    r#"{"door":"rest","method":"POST","path":"/v5/order/create","body":{"category":"linear","symbol":"BTCUSDT","side":"Sell","orderType":"Limit","qty":"0.02","price":"45000","timeInForce":"PostOnly","positionIdx":0,"orderLinkId":"c-2","reduceOnly":false,"smpType":"CancelMaker"}}"#,
    r#"{"door":"rest","method":"POST","path":"/v5/order/create","body":{"category":"linear","symbol":"BTCUSDT","side":"Sell","orderType":"Market","qty":"0","reduceOnly":true,"closeOnTrigger":true}}"#,
    r#"{"door":"rest","method":"POST","path":"/v5/order/create","body":{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.02","bboSideType":"Queue","bboLevel":"2","timeInForce":"IOC"}}"#,
    r#"{"door":"rest","method":"POST","path":"/v5/order/create","body":{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Market","qty":"0.01","triggerPrice":"99999","triggerDirection":1,"triggerBy":"MarkPrice","orderLinkId":"c-3"}}"#,
    r#"{"door":"rest","method":"POST","path":"/v5/order/amend","body":{"category":"linear","symbol":"BTCUSDT","orderLinkId":"c-2","qty":"0.03","price":"46000","triggerPrice":null}}"#,
    r#"{"door":"rest","method":"POST","path":"/v5/order/cancel","body":{"category":"linear","symbol":"BTCUSDT","orderLinkId":"c-2"}}"#,
    r#"{"door":"rest","method":"POST","path":"/v5/order/cancel-all","body":{"category":"linear","settleCoin":"USDT"}}"#,
    r#"{"door":"rest","method":"POST","path":"/v5/order/create-batch","body":{"category":"linear","request":[{"symbol":"BTCUSDT","side":"Sell","orderType":"Market","qty":"0.01","orderLinkId":"b-1"}]}}"#,
    r#"{"door":"rest","method":"POST","path":"/v5/position/set-leverage","body":{"category":"linear","symbol":"BTCUSDT","buyLeverage":"5","sellLeverage":"5"}}"#,
    r#"{"door":"rest","method":"POST","path":"/v5/position/trading-stop","body":{"category":"linear","symbol":"BTCUSDT","positionIdx":0,"tpslMode":"Full","takeProfit":"99999","stopLoss":"1000","trailingStop":"100","activePrice":"99999"}}"#,
    r#"{"door":"rest","method":"GET","path":"/v5/order/realtime","query":"category=linear&symbol=BTCUSDT&limit=50&openOnly=0&cursor=1"}"#,
    r#"{"door":"rest","method":"GET","path":"/v5/order/history","query":"category=linear&orderLinkId=c-1&startTime=1704067200000&endTime=1704067300000"}"#,
    r#"{"door":"rest","method":"GET","path":"/v5/execution/list","query":"category=linear&limit=100&execType=Trade&startTime=1704067200000"}"#,
    r#"{"door":"rest","method":"GET","path":"/v5/position/list","query":"category=linear&settleCoin=USDT"}"#,
    r#"{"door":"rest","method":"GET","path":"/v5/account/wallet-balance","query":"accountType=UNIFIED&coin=USDT"}"#,
    r#"{"door":"rest","method":"GET","path":"/v5/market/kline","query":"category=linear&symbol=BTCUSDT&interval=1&start=1704067200000&end=1704067300000&limit=1000"}"#,
    r#"{"door":"rest","method":"GET","path":"/v5/market/funding/history","query":"category=linear&symbol=BTCUSDT&startTime=1704067200000&endTime=1704067300000&limit=200"}"#,
    r#"{"door":"rest","method":"GET","path":"/v5/market/orderbook","query":"category=linear&symbol=BTC%55SDT&limit=50"}"#,
    r#"{"door":"rest","method":"GET","path":"/v5/market/instruments-info","query":"category=linear&limit=1&cursor=1"}"#,
    r#"{"door":"public","body":{"op":"subscribe","req_id":"1","args":["orderbook.50.BTCUSDT","publicTrade.BTCUSDT","kline.1.BTCUSDT","tickers.BTCUSDT"]}}"#,
    r#"{"door":"public","body":{"op":"ping","req_id":7}}"#,
    r#"{"door":"private","body":{"op":"auth","req_id":"1","args":["key-one",1700000010000,"00"]}}"#,
    r#"{"door":"private","body":{"op":"subscribe","args":["order","execution","position","wallet"]}}"#,
    r#"{"door":"trade","body":{"reqId":"r-1","header":{"X-BAPI-TIMESTAMP":"1700000000000","X-BAPI-RECV-WINDOW":"5000"},"op":"order.create","args":[{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.01","price":"40000","orderLinkId":"t-1"}]}}"#,
    r#"{"door":"trade","body":{"reqId":"r-2","header":{"X-BAPI-TIMESTAMP":"1700000000000","X-BAPI-RECV-WINDOW":"5000"},"op":"order.amend-batch","args":[{"category":"linear","request":[{"symbol":"BTCUSDT","orderLinkId":"t-1","price":"40001"}]}]}}"#,
    r#"{"door":"fault","body":{"kind":"error","count":1,"status":503,"commit":true,"endpoint":"create","channel":"rest"}}"#,
    r#"{"door":"fault","body":{"kind":"reorder_private","probability":0.5,"seed":3,"topic":"order"}}"#,
    r#"{"door":"fault","body":{"kind":"clock_offset","ms":1500}}"#,
    r#"{"door":"fault","body":{"kind":"gap","symbol":"BTCUSDT","count":2}}"#,
];

/// Examples that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// They cannot be read.
    #[error("{folder}: {source}")]
    Unreadable {
        /// Where they lie.
        folder: String,
        /// Why not.
        source: std::io::Error,
    },
    /// One of them is no JSON.
    #[error("{file}: {source}")]
    Json {
        /// Its file.
        file: String,
        /// Why not.
        source: serde_json::Error,
    },
}

/// Texts as inputs.
#[must_use]
pub fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The golden example of every message of the wire, in order of their names.
///
/// # Errors
/// The folder or file that cannot be read.
pub fn vectors() -> Result<Vec<Vec<u8>>, CorpusError> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../protocol/vectors");
    let reported =
        |source| CorpusError::Unreadable { folder: folder.display().to_string(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(reported)? {
        paths.push(entry.map_err(reported)?.path());
    }
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).map_err(reported)?;
            let value: Value = serde_json::from_str(&text)
                .map_err(|source| CorpusError::Json { file: path.display().to_string(), source })?;
            Ok(value.to_string().into_bytes())
        })
        .collect()
}

/// Recorded public frames under `CRUCIBLE_SHARED` (default: `shared/data` beside the clone), if any.
#[must_use]
pub fn recorded() -> Vec<Vec<u8>> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let shared = std::env::var_os("CRUCIBLE_SHARED").map_or(beside, PathBuf::from);
    let Ok(entries) = std::fs::read_dir(shared.join("l2/bybit-v5")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut frames = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|one| one == "gz")) {
        let space = MOST - frames.len();
        frames.extend(lines(path).into_iter().take(space));
    }
    frames
}

fn lines(path: &Path) -> Vec<Vec<u8>> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    BufReader::new(GzDecoder::new(file))
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| {
            // Either a frame itself, or a row of a capture that holds one as a text.
            let row: Value = serde_json::from_str(&line).ok()?;
            let frame = match row.get("data").and_then(Value::as_str) {
                Some(text) => text.to_owned(),
                None if row.get("topic").is_some() => line,
                None => return None,
            };
            (frame.len() <= LONGEST && frame.starts_with('{')).then(|| frame.into_bytes())
        })
        .collect()
}
