//! One file of a repository, fetched into the cache and resumed where it broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LOCATION, RANGE};
use reqwest::{Response, StatusCode, Url};
use sha2::{Digest, Sha256};

use super::HubError;
use super::cache::{Folder, make_parent};
use super::error::Failure;
use super::session::{Session, silent};

/// So often in a row may a connection break before any new byte has come.
const TRIES: u32 = 5;

/// What the hub says about a file before sending it.
struct Announced {
    name: String,
    /// Where to ask for its contents.
    url: Url,
    /// Its name in the cache: for large files the SHA-256 of the contents.
    etag: String,
    size: Option<u64>,
}

impl Session<'_> {
    /// Makes sure that the file `name` is in the snapshot of `commit`.
    pub(crate) async fn file(&self, folder: &Folder, commit: &str, name: &str) -> Result<(), Failure> {
        let parts = self.repository.site().chain(["resolve", commit]).chain(name.split('/'));
        let announced = self.announce(self.address(parts), name).await?;
        let blob = folder.blob(&announced.etag);
        make_parent(&blob)?;
        if !blob.exists() {
            self.blob(&announced, &blob).await?;
        }
        Ok(folder.link(&announced.etag, commit, name)?)
    }

    /// Asks for a file's head. The hub answers for a large file with a redirect that carries its true name and size;
    /// a redirect within the hub is a renamed repository.
    async fn announce(&self, mut url: Url, name: &str) -> Result<Announced, Failure> {
        for _ in 0..5 {
            let response = self.authorized(self.direct.head(url.clone())).send().await.map_err(silent)?;
            let headers = response.headers();
            let status = response.status();
            match text(headers, LOCATION.as_str()) {
                Some(path) if status.is_redirection() && path.starts_with('/') => {
                    let next = url.join(path).ok().filter(|next| next.origin() == url.origin());
                    url = next.ok_or_else(|| self.refuse(format!("the hub sends `{name}` to `{path}`")))?;
                    continue;
                }
                _ if status.is_success() || status.is_redirection() => {}
                _ => return Err(self.answered(status, name)),
            }
            let etag =
                text(headers, "x-linked-etag").or_else(|| text(headers, ETAG.as_str())).unwrap_or_default();
            let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if etag.is_empty() || etag.len() > 128 || !etag.bytes().all(is_name) {
                return Err(
                    self.refuse(format!("the hub gave no usable ETag for `{name}`; is HF_ENDPOINT right?"))
                );
            }
            let own_length = text(headers, CONTENT_LENGTH.as_str()).filter(|_| status.is_success());
            let size = text(headers, "x-linked-size").or(own_length).and_then(|size| size.parse().ok());
            return Ok(Announced { name: name.to_owned(), url, etag, size });
        }
        Err(self.refuse(format!("the hub sends `{name}` from one address to the next")))
    }

    /// Fetches contents into `blob`. What an earlier try left in `blob.incomplete` is built on.
    async fn blob(&self, announced: &Announced, blob: &Path) -> Result<(), Failure> {
        let name = &announced.name;
        let mut part = Part::open(blob)?;
        if blob.exists() {
            return Ok(());
        }
        let bar = self.bar(name, announced.size);
        let mut failures = 0;
        while !part.is_done(announced.size) {
            let before = part.length;
            let problem = match self.transfer(announced, &mut part, &bar).await {
                Ok(()) if part.is_done(announced.size) => break,
                Ok(()) => "the connection closed early".to_owned(),
                Err(Failure::Silent(problem)) => problem,
                Err(error) => return Err(error),
            };
            failures = if part.length > before { 1 } else { failures + 1 };
            if failures >= TRIES {
                let got = part.length;
                return Err(Failure::Silent(format!(
                    "{problem}, after {got} bytes of `{name}`; they are kept"
                )));
            }
            tracing::debug!("{name}: {problem}; trying again from byte {}", part.length);
            tokio::time::sleep(Duration::from_secs(u64::from(failures - 1))).await;
        }
        bar.finish_and_clear();
        part.finish(announced, blob).map_err(|error| match error {
            Spoilt::Disk(error) => Failure::Final(error),
            Spoilt::Content => self.refuse(format!(
                "`{name}` arrived with other contents than the hub announced; it was thrown away, try again"
            )),
        })
    }

    /// One request for the rest of a file, written down until it ends or breaks.
    async fn transfer(
        &self,
        announced: &Announced,
        part: &mut Part,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let name = &announced.name;
        let mut request = self.authorized(self.client.get(announced.url.clone()));
        if part.length > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.length));
        }
        let mut response = request.send().await.map_err(silent)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(part.length) => {}
            StatusCode::OK => part.restart()?,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                part.restart()?;
                return Err(Failure::Silent("it cannot resume here".into()));
            }
            status => return Err(self.answered(status, name)),
        }
        bar.set_position(part.length);
        while let Some(bytes) = response.chunk().await.map_err(silent)? {
            if announced.size.is_some_and(|size| part.length + bytes.len() as u64 > size) {
                part.restart()?;
                return Err(self.refuse(format!("`{name}` is longer than the hub announced")));
            }
            part.append(&bytes)?;
            bar.inc(bytes.len() as u64);
        }
        part.ended = true;
        Ok(())
    }

    fn bar(&self, name: &str, size: Option<u64>) -> ProgressBar {
        const BYTES_WORTH_A_BAR: u64 = 1 << 20;
        let small = size.is_some_and(|size| size < BYTES_WORTH_A_BAR);
        if !self.hub.progress || small {
            return ProgressBar::hidden();
        }
        tracing::info!("fetching {name} of {}", self.repository);
        let bar = size.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.with_message(name.to_owned())
    }
}

/// Why a file that came in full cannot be used.
enum Spoilt {
    Disk(HubError),
    Content,
}

/// A file on its way, locked against other processes of this program.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    /// A transfer came to its end; counts only where the hub did not say how long the file is.
    ended: bool,
}

impl Part {
    fn open(blob: &Path) -> Result<Self, HubError> {
        let mut path = blob.as_os_str().to_owned();
        path.push(".incomplete");
        let path = PathBuf::from(path);
        let open = || -> std::io::Result<(File, u64)> {
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            file.lock()?;
            let length = file.seek(SeekFrom::End(0))?;
            Ok((file, length))
        };
        let (file, length) = open().map_err(|error| HubError::io(&path, error))?;
        Ok(Self { path, file, length, ended: false })
    }

    fn is_done(&self, size: Option<u64>) -> bool {
        size.map_or(self.ended, |size| self.length == size)
    }

    fn restart(&mut self) -> Result<(), HubError> {
        let rewound = self.file.set_len(0).and_then(|()| self.file.rewind());
        self.length = 0;
        rewound.map_err(|error| HubError::io(&self.path, error))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(|error| HubError::io(&self.path, error))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Moves the file to its place, unless its contents are not what its name says.
    fn finish(mut self, announced: &Announced, blob: &Path) -> Result<(), Spoilt> {
        let disk = |error| Spoilt::Disk(HubError::io(blob, error));
        if announced.etag.len() == 64
            && sha256(&mut self.file).map_err(disk)? != announced.etag.to_lowercase()
        {
            tracing::debug!("{} does not have the SHA-256 {}", announced.name, announced.etag);
            fs::remove_file(&self.path).map_err(disk)?;
            return Err(Spoilt::Content);
        }
        self.file.sync_all().and_then(|()| fs::rename(&self.path, blob)).map_err(disk)
    }
}

fn sha256(file: &mut File) -> std::io::Result<String> {
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Where a partial answer starts: the 100 of `bytes 100-199/200`.
fn range_start(response: &Response) -> Option<u64> {
    let range = text(response.headers(), CONTENT_RANGE.as_str())?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}
