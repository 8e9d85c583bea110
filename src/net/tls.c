#include "net/net.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <gnutls/x509.h>

#include "net/net_priv.h"

/*
 * BCP 195 (RFC 9325) and the BCP 195 TLS profile of PS3.15 B.12: TLS 1.2 and 1.3, ephemeral keys,
 * AEAD suites only.  AES first: every server this runs on has the instructions.
 */
static const char priorities[] =
	"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:+DHE-RSA:"
	"-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:-MAC-ALL:+AEAD:"
	"%SERVER_PRECEDENCE:%SAFE_RENEGOTIATION";

struct nx_tls {
	char *cert_file;
	char *key_file;
	char *ca_file;
	bool require_client_cert;
	pthread_mutex_t lock;
	struct nx_creds *creds; /* guarded by lock */
};

const char *nx_tls_priorities(void)
{
	return priorities;
}

nx_rc nx_tls_err(struct nx_err *err, int ret, const char *what)
{
	nx_rc rc = NX_E_MALFORMED;

	switch (ret) {
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PUSH_ERROR:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_SESSION_EOF:
	case GNUTLS_E_INVALID_SESSION:
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		rc = NX_E_CLOSED;
		break;
	case GNUTLS_E_MEMORY_ERROR:
		rc = NX_E_NOMEM;
		break;
	case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
	case GNUTLS_E_CERTIFICATE_ERROR:
	case GNUTLS_E_CERTIFICATE_REQUIRED:
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
		rc = NX_E_DENIED;
		break;
	default:
		break;
	}
	return nx_err_set(err, rc, "%s: %s", what, gnutls_strerror(ret));
}

/* ---- credentials ---- */

struct nx_creds *nx_creds_unref(struct nx_creds *creds)
{
	if (creds && atomic_fetch_sub(&creds->refs, 1) == 1) {
		gnutls_certificate_free_credentials(creds->cert);
		free(creds);
	}
	return NULL;
}

static nx_rc creds_new(struct nx_creds **ret_creds, struct nx_err *err)
{
	struct nx_creds *creds = calloc(1, sizeof(*creds));

	if (!creds || gnutls_certificate_allocate_credentials(&creds->cert) < 0) {
		free(creds);
		return nx_err_set(err, NX_E_NOMEM, "no memory for certificates");
	}
	atomic_init(&creds->refs, 1);
	*ret_creds = creds;
	return NX_OK;
}

/* Names of the files are the administrator's, so they may appear in the text. */
static nx_rc creds_key(
	struct nx_creds *creds, const char *cert_file, const char *key_file, struct nx_err *err)
{
	int ret = gnutls_certificate_set_x509_key_file2(
		creds->cert, cert_file, key_file, GNUTLS_X509_FMT_PEM, NULL, 0);

	if (ret < 0)
		return nx_err_set(err, NX_E_CONFIG, "certificate %s with key %s: %s", cert_file,
			key_file, gnutls_strerror(ret));
	return NX_OK;
}

static nx_rc creds_trust(struct nx_creds *creds, const char *ca_file, struct nx_err *err)
{
	int ret = gnutls_certificate_set_x509_trust_file(creds->cert, ca_file, GNUTLS_X509_FMT_PEM);

	if (ret <= 0)
		return nx_err_set(err, NX_E_CONFIG, "certificate authorities %s: %s", ca_file,
			ret < 0 ? gnutls_strerror(ret) : "no certificate in it");
	return NX_OK;
}

static nx_rc creds_load(
	const struct nx_tls_opts *opts, struct nx_creds **ret_creds, struct nx_err *err)
{
	struct nx_creds *creds = NULL;
	nx_rc rc;

	rc = creds_new(&creds, err);
	if (rc)
		return rc;
	if (opts->cert_file)
		rc = creds_key(creds, opts->cert_file, opts->key_file, err);
	if (!rc && opts->ca_file)
		rc = creds_trust(creds, opts->ca_file, err);
	if (rc) {
		nx_creds_unref(creds);
		return rc;
	}
	*ret_creds = creds;
	return NX_OK;
}

nx_rc nx_creds_client(
	const struct nx_tls_opts *opts, struct nx_creds **ret_creds, struct nx_err *err)
{
	if (!opts->ca_file)
		return nx_err_set(err, NX_E_CONFIG, "no certificate authority for the server");
	return creds_load(opts, ret_creds, err);
}

/* ---- the settings ---- */

static nx_rc tls_load(const struct nx_tls *tls, struct nx_creds **ret_creds, struct nx_err *err)
{
	const struct nx_tls_opts opts = {tls->cert_file, tls->key_file, tls->ca_file, false};

	return creds_load(&opts, ret_creds, err);
}

static bool dup_opt(char **ret, const char *s)
{
	if (!s)
		return true;
	*ret = strdup(s);
	return *ret != NULL;
}

nx_rc nx_tls_new(const struct nx_tls_opts *opts, struct nx_tls **ret_tls, struct nx_err *err)
{
	NX_AUTO(nx_tls) *tls = NULL;
	nx_rc rc;

	if (!opts->cert_file || !opts->key_file)
		return nx_err_set(err, NX_E_CONFIG, "tls needs a certificate and a key");
	if (opts->require_client_cert && !opts->ca_file)
		return nx_err_set(
			err, NX_E_CONFIG, "client certificates need a certificate authority");
	tls = calloc(1, sizeof(*tls));
	if (!tls)
		return nx_err_set(err, NX_E_NOMEM, "no memory for tls");
	(void)pthread_mutex_init(&tls->lock, NULL);
	tls->require_client_cert = opts->require_client_cert;
	if (!dup_opt(&tls->cert_file, opts->cert_file) ||
		!dup_opt(&tls->key_file, opts->key_file) || !dup_opt(&tls->ca_file, opts->ca_file))
		return nx_err_set(err, NX_E_NOMEM, "no memory for tls");
	rc = tls_load(tls, &tls->creds, err);
	if (rc)
		return rc;
	*ret_tls = NX_STEAL(tls);
	return NX_OK;
}

struct nx_tls *nx_tls_free(struct nx_tls *tls)
{
	if (!tls)
		return NULL;
	nx_creds_unref(tls->creds);
	(void)pthread_mutex_destroy(&tls->lock);
	free(tls->cert_file);
	free(tls->key_file);
	free(tls->ca_file);
	free(tls);
	return NULL;
}

nx_rc nx_tls_reload(struct nx_tls *tls, struct nx_err *err)
{
	struct nx_creds *fresh = NULL;
	struct nx_creds *old;
	nx_rc rc;

	rc = tls_load(tls, &fresh, err);
	if (rc)
		return nx_err_prefix(err, rc, "reload");
	(void)pthread_mutex_lock(&tls->lock);
	old = tls->creds;
	tls->creds = fresh;
	(void)pthread_mutex_unlock(&tls->lock);
	nx_creds_unref(old);
	return NX_OK;
}

struct nx_creds *nx_tls_creds(struct nx_tls *tls)
{
	struct nx_creds *creds;

	(void)pthread_mutex_lock(&tls->lock);
	creds = tls->creds;
	atomic_fetch_add(&creds->refs, 1);
	(void)pthread_mutex_unlock(&tls->lock);
	return creds;
}

gnutls_certificate_request_t nx_tls_request(const struct nx_tls *tls)
{
	if (!tls->ca_file)
		return GNUTLS_CERT_IGNORE;
	return tls->require_client_cert ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST;
}

nx_rc nx_tls_session_new(
	unsigned flags, struct nx_creds *creds, gnutls_session_t *ret_session, struct nx_err *err)
{
	gnutls_session_t session = NULL;
	int ret;

	ret = gnutls_init(&session, flags | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
	if (ret < 0)
		return nx_tls_err(err, ret, "tls session");
	ret = gnutls_priority_set_direct(session, priorities, NULL);
	if (ret >= 0)
		ret = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, creds->cert);
	if (ret < 0) {
		gnutls_deinit(session);
		return nx_tls_err(err, ret, "tls session");
	}
	*ret_session = session;
	return NX_OK;
}

/* ---- the peer's certificate ---- */

nx_rc nx_tls_peer_cn(
	struct gnutls_session_int *session, char *ret_cn, size_t cap, struct nx_err *err)
{
	gnutls_typed_vdata_st purpose = {GNUTLS_DT_KEY_PURPOSE_OID, NULL, 0};
	char oid[] = GNUTLS_KP_TLS_WWW_CLIENT;
	const gnutls_datum_t *chain;
	gnutls_x509_crt_t crt = NULL;
	unsigned n = 0, status = 0;
	int ret;

	chain = gnutls_certificate_get_peers(session, &n);
	if (!chain || !n)
		return nx_err_set(err, NX_E_NOENT, "no client certificate");
	purpose.data = (unsigned char *)oid;
	ret = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
	if (ret < 0)
		return nx_tls_err(err, ret, "client certificate");
	if (status)
		return nx_err_set(err, NX_E_DENIED, "client certificate not trusted: %#x", status);
	ret = gnutls_x509_crt_init(&crt);
	if (ret < 0)
		return nx_tls_err(err, ret, "client certificate");
	ret = gnutls_x509_crt_import(crt, &chain[0], GNUTLS_X509_FMT_DER);
	if (ret >= 0)
		ret = gnutls_x509_crt_get_dn_by_oid(
			crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, ret_cn, &cap);
	gnutls_x509_crt_deinit(crt);
	/* A trusted certificate without a subject CN names nobody: as good as none. */
	if (ret < 0)
		return nx_err_set(err, NX_E_DENIED, "client certificate without a usable name");
	return NX_OK;
}
