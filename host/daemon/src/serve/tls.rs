//! TLS with a certificate that the operator gives.

use std::{fs, path::Path, sync::Arc};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::failure::{CANNOT, Failure, WRONG_INPUT};

/// What encrypts with this certificate chain and private key, both in PEM.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Failure> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| Failure::new(CANNOT, format!("cannot read {}: {error}", path.display())))
    };
    let wrong = |path: &Path, problem: String| Failure::new(WRONG_INPUT, format!("{}: {problem}", path.display()));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(certificate)?).collect();
    let chain = chain.map_err(|error| wrong(certificate, format!("not a certificate in PEM: {error}")))?;
    if chain.is_empty() {
        return Err(wrong(certificate, "there is no certificate in it".to_owned()));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| wrong(key, format!("not a private key in PEM: {error}")))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, private));
    let mut config =
        config.map_err(|error| wrong(certificate, format!("cannot be used with {}: {error}", key.display())))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
