//! A browser without a window, driven through chromedriver by the WebDriver protocol.
//!
//! HTTP is spoken by hand: a client as a dev-dependency would have burn built a second time, with other features of `bytes`.

use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a page may take for what a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open browser; it goes with the test.
pub struct Browser {
    driver: Child,
    port: u16,
    /// Path of chromedriver's session.
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// A browser, or none, and a line that says so, where Chromium is not installed. With `INFOSEG_BROWSER=required` that
    /// fails.
    pub fn start() -> Option<Self> {
        let missing = ["chromium", "chromedriver"].iter().find(|name| !installed(name));
        if let Some(missing) = missing {
            let required = std::env::var_os("INFOSEG_BROWSER").is_some_and(|value| value == "required");
            assert!(
                !required,
                "INFOSEG_BROWSER=required, and there is no {missing} (apt install chromium chromium-driver)"
            );
            println!("skipped: there is no {missing} to look at the page with");
            return None;
        }
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let said = BufReader::new(driver.stdout.take().expect("a pipe"));
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let profile = tempfile::tempdir().expect("a folder for the browser");
        let mut browser = Self {
            driver,
            port: port.expect("chromedriver says its port"),
            session: "/session".to_string(),
            _profile: profile,
        };
        let user_data = format!("--user-data-dir={}", browser._profile.path().display());
        let flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1200,900",
            &user_data,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let started = browser.post("", wanted);
        browser.session += &format!("/{}", started["sessionId"].as_str().expect("a session"));
        Some(browser)
    }

    fn post(&self, command: &str, body: Value) -> Value {
        let answer = self.request("POST", command, &body.to_string()).expect("chromedriver answers");
        let value = answer["value"].clone();
        assert!(value.get("error").is_none(), "{command} {body}: {value}");
        value
    }

    fn request(&self, method: &str, command: &str, body: &str) -> io::Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let (path, length) = (format!("{}{command}", self.session), body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json; charset=utf-8\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}",
            self.port
        )?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        serde_json::from_slice(&answer).map_err(io::Error::other)
    }

    /// Opens a file.
    pub fn open(&self, page: &Path) {
        let page = page.canonicalize().expect("a page");
        self.post("/url", json!({ "url": format!("file://{}", page.display()) }));
    }

    /// What the body of a function returns.
    pub fn eval(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// Value of an expression, as text.
    pub fn text(&self, expression: &str) -> String {
        let value = self.eval(&format!("return String({expression})"));
        value.as_str().expect("a text").to_string()
    }

    /// Waits until an expression is true.
    pub fn wait(&self, expression: &str) {
        let patience = Instant::now() + PATIENCE;
        while self.eval(&format!("return Boolean({expression})")) != Value::Bool(true) {
            assert!(Instant::now() < patience, "never true: {expression}; the browser says {:?}", self.complaints());
            sleep(Duration::from_millis(30));
        }
    }

    /// Moves the mouse to a share of the width and height of what a selector finds, and clicks.
    pub fn click_at(&self, selector: &str, [x, y]: [f64; 2]) {
        let found = self.eval(&format!(
            "const found = document.querySelector({selector:?}); found.scrollIntoView({{ block: 'center' }}); \
             const box = found.getBoundingClientRect(); return [box.left + {x} * box.width, box.top + {y} * box.height]"
        ));
        let at = |axis: usize| found[axis].as_f64().expect("a place").round() as i64;
        let moves = json!([
            { "type": "pointerMove", "duration": 0, "x": at(0), "y": at(1) },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        self.post("/actions", json!({ "actions": [{ "type": "pointer", "id": "mouse", "actions": moves }] }));
    }

    /// Clicks the middle of what a selector finds.
    pub fn click(&self, selector: &str) {
        self.click_at(selector, [0.5, 0.5]);
    }

    /// Presses a key: a letter, or one of the protocol's codes.
    pub fn press(&self, key: &str) {
        let moves = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.post("/actions", json!({ "actions": [{ "type": "key", "id": "keys", "actions": moves }] }));
    }

    /// Shows the page as a phone of this width would.
    pub fn narrow(&self, width: u32) {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": true });
        self.post("/goog/cdp/execute", json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": size }));
    }

    /// What the page's console holds.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({ "type": "browser" }));
        log.as_array().expect("a log").iter().map(|line| line["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.request("DELETE", "", "");
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}
