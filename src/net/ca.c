#include "net/net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/secret.h"
#include "net/net_priv.h"

enum {
	SERIAL_LEN = 16,
	SECONDS_A_DAY = 86400
};

/* A certificate and its key while they are made. */
struct pair {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
};

static void pair_done(struct pair *pair)
{
	if (pair->crt)
		gnutls_x509_crt_deinit(pair->crt);
	if (pair->key)
		gnutls_x509_privkey_deinit(pair->key);
}
NX_DEFINE_AUTO_DONE(pair);

/* What all our certificates have in common (RFC 5280 4.1.2). */
static int pair_begin(struct pair *pair, const char *cn, unsigned days)
{
	uint8_t serial[SERIAL_LEN], id[32];
	size_t id_len = sizeof(id);
	time_t now = time(NULL);
	int ret;

	ret = gnutls_x509_crt_init(&pair->crt);
	if (ret >= 0)
		ret = gnutls_x509_privkey_init(&pair->key);
	if (ret >= 0)
		ret = gnutls_x509_privkey_generate(pair->key, GNUTLS_PK_ECDSA,
			GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	if (ret < 0)
		return ret;
	nx_random(serial, sizeof(serial));
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and of full length */
	ret = gnutls_x509_crt_set_version(pair->crt, 3);
	if (ret >= 0)
		ret = gnutls_x509_crt_set_serial(pair->crt, serial, sizeof(serial));
	if (ret >= 0)
		ret = gnutls_x509_crt_set_key(pair->crt, pair->key);
	/* An hour back: clocks of modalities are rarely right. */
	if (ret >= 0)
		ret = gnutls_x509_crt_set_activation_time(pair->crt, now - 3600);
	if (ret >= 0)
		ret = gnutls_x509_crt_set_expiration_time(
			pair->crt, now + (time_t)days * SECONDS_A_DAY);
	if (ret >= 0)
		ret = gnutls_x509_crt_set_dn_by_oid(
			pair->crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn));
	if (ret >= 0)
		ret = gnutls_x509_crt_get_key_id(pair->crt, GNUTLS_KEYID_USE_SHA256, id, &id_len);
	if (ret >= 0)
		ret = gnutls_x509_crt_set_subject_key_id(pair->crt, id, id_len);
	return ret;
}

static int pair_sign(struct pair *pair, const struct pair *issuer)
{
	uint8_t id[64];
	size_t id_len = sizeof(id);
	int ret;

	ret = gnutls_x509_crt_get_subject_key_id(issuer->crt, id, &id_len, NULL);
	if (ret >= 0)
		ret = gnutls_x509_crt_set_authority_key_id(pair->crt, id, id_len);
	if (ret >= 0)
		ret = gnutls_x509_crt_sign2(
			pair->crt, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0);
	return ret;
}

static int make_ca(struct pair *ca, unsigned days)
{
	int ret = pair_begin(ca, "narthex local CA", days);

	if (ret >= 0)
		ret = gnutls_x509_crt_set_basic_constraints(ca->crt, 1, 0);
	if (ret >= 0)
		ret = gnutls_x509_crt_set_key_usage(
			ca->crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
	if (ret >= 0)
		ret = pair_sign(ca, ca);
	return ret;
}

static int set_leaf(struct pair *leaf, const char *purpose)
{
	int ret = gnutls_x509_crt_set_basic_constraints(leaf->crt, 0, -1);

	if (ret >= 0)
		ret = gnutls_x509_crt_set_key_usage(leaf->crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
	if (ret >= 0)
		ret = gnutls_x509_crt_set_key_purpose_oid(leaf->crt, purpose, 0);
	return ret;
}

/* RFC 5280 4.2.1.6: addresses are octets, never text. */
static int add_name(gnutls_x509_crt_t crt, const char *name)
{
	uint8_t ip[16];

	if (inet_pton(AF_INET, name, ip) == 1)
		return gnutls_x509_crt_set_subject_alt_name(
			crt, GNUTLS_SAN_IPADDRESS, ip, 4, GNUTLS_FSAN_APPEND);
	if (inet_pton(AF_INET6, name, ip) == 1)
		return gnutls_x509_crt_set_subject_alt_name(
			crt, GNUTLS_SAN_IPADDRESS, ip, 16, GNUTLS_FSAN_APPEND);
	return gnutls_x509_crt_set_subject_alt_name(
		crt, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name), GNUTLS_FSAN_APPEND);
}

static int make_server(struct pair *server, const struct pair *ca, const char *const *names,
	size_t n_names, unsigned days)
{
	int ret = pair_begin(server, names[0], days);

	if (ret >= 0)
		ret = set_leaf(server, GNUTLS_KP_TLS_WWW_SERVER);
	for (size_t i = 0; ret >= 0 && i < n_names; i++)
		ret = add_name(server->crt, names[i]);
	return ret < 0 ? ret : pair_sign(server, ca);
}

static int make_client(struct pair *client, const struct pair *ca, const char *cn, unsigned days)
{
	int ret = pair_begin(client, cn, days);

	if (ret >= 0)
		ret = set_leaf(client, GNUTLS_KP_TLS_WWW_CLIENT);
	return ret < 0 ? ret : pair_sign(client, ca);
}

/* ---- files ---- */

static nx_rc pem_write(
	int dir_fd, const char *base, const char *suffix, gnutls_datum_t *pem, struct nx_err *err)
{
	bool secret = strcmp(suffix, ".pem") != 0;
	char name[NX_LIMIT_NAME + 16];
	nx_rc rc;

	(void)snprintf(name, sizeof(name), "%s%s", base, suffix);
	rc = nx_file_replace(
		dir_fd, name, nx_slice(pem->data, pem->size), secret ? 0600 : 0644, err);
	gnutls_memset(pem->data, 0, pem->size);
	gnutls_free(pem->data);
	return rc;
}

/* The key first: a certificate that is there has its key. */
static nx_rc pair_write(const struct pair *pair, int dir_fd, const char *base, struct nx_err *err)
{
	gnutls_datum_t pem = {NULL, 0};
	nx_rc rc;
	int ret;

	ret = gnutls_x509_privkey_export2_pkcs8(
		pair->key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem);
	if (ret < 0)
		return nx_tls_err(err, ret, "key");
	rc = pem_write(dir_fd, base, "-key.pem", &pem, err);
	if (rc)
		return rc;
	ret = gnutls_x509_crt_export2(pair->crt, GNUTLS_X509_FMT_PEM, &pem);
	if (ret < 0)
		return nx_tls_err(err, ret, "certificate");
	return pem_write(dir_fd, base, ".pem", &pem, err);
}

static nx_rc pem_read(int dir_fd, const char *name, struct nx_buf *buf, gnutls_datum_t *ret_pem,
	struct nx_err *err)
{
	nx_rc rc;

	nx_buf_init(buf, 64 * NX_KIB, NX_BUF_WIPE);
	rc = nx_file_read(dir_fd, name, buf, err);
	if (rc)
		return rc;
	ret_pem->data = buf->data;
	ret_pem->size = (unsigned)buf->len;
	return NX_OK;
}

static nx_rc crt_read(int dir_fd, const char *name, gnutls_x509_crt_t *ret_crt, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	gnutls_datum_t pem;
	nx_rc rc;
	int ret;

	rc = pem_read(dir_fd, name, &buf, &pem, err);
	if (rc)
		return rc;
	ret = gnutls_x509_crt_init(ret_crt);
	if (ret >= 0)
		ret = gnutls_x509_crt_import(*ret_crt, &pem, GNUTLS_X509_FMT_PEM);
	return ret < 0 ? nx_tls_err(err, ret, name) : NX_OK;
}

static nx_rc pair_read(int dir_fd, struct pair *pair, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf = {0};
	gnutls_datum_t pem;
	nx_rc rc;
	int ret;

	rc = crt_read(dir_fd, "ca.pem", &pair->crt, err);
	if (rc)
		return rc;
	rc = pem_read(dir_fd, "ca-key.pem", &buf, &pem, err);
	if (rc)
		return rc;
	ret = gnutls_x509_privkey_init(&pair->key);
	if (ret >= 0)
		ret = gnutls_x509_privkey_import2(
			pair->key, &pem, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);
	return ret < 0 ? nx_tls_err(err, ret, "ca-key.pem") : NX_OK;
}

static nx_rc dir_open(const char *dir, int *ret_fd, struct nx_err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return nx_err_errno(err, "open %s", dir);
	*ret_fd = fd;
	return NX_OK;
}

nx_rc nx_tls_make_ca(const char *dir, const char *const *names, size_t n_names, unsigned days,
	struct nx_err *err)
{
	NX_AUTO_DONE(pair) ca = {0};
	NX_AUTO_DONE(pair) server = {0};
	NX_AUTO_FD dir_fd = -1;
	nx_rc rc;
	int ret;

	if (n_names == 0 || days == 0)
		return nx_err_set(err, NX_E_INVAL, "a certificate needs a name and a term");
	rc = dir_open(dir, &dir_fd, err);
	if (rc)
		return rc;
	ret = make_ca(&ca, days);
	if (ret >= 0)
		ret = make_server(&server, &ca, names, n_names, days);
	if (ret < 0)
		return nx_tls_err(err, ret, "make certificates");
	rc = pair_write(&ca, dir_fd, "ca", err);
	if (rc)
		return rc;
	return pair_write(&server, dir_fd, "server", err);
}

nx_rc nx_tls_make_client(
	const char *dir, const char *base, const char *cn, unsigned days, struct nx_err *err)
{
	NX_AUTO_DONE(pair) client = {0};
	NX_AUTO_DONE(pair) ca = {0};
	NX_AUTO_FD dir_fd = -1;
	nx_rc rc;
	int ret;

	if (strlen(base) > NX_LIMIT_NAME || strchr(base, '/') || days == 0)
		return nx_err_set(err, NX_E_INVAL, "client certificate: bad file name or term");
	rc = dir_open(dir, &dir_fd, err);
	if (rc)
		return rc;
	rc = pair_read(dir_fd, &ca, err);
	if (rc)
		return rc;
	ret = make_client(&client, &ca, cn, days);
	if (ret < 0)
		return nx_tls_err(err, ret, "make client certificate");
	return pair_write(&client, dir_fd, base, err);
}

nx_rc nx_tls_days_left(const char *pem_file, int *ret_days, struct nx_err *err)
{
	NX_AUTO_DONE(pair) pair = {0};
	time_t end;
	double days;
	nx_rc rc;

	rc = crt_read(AT_FDCWD, pem_file, &pair.crt, err);
	if (rc)
		return rc;
	end = gnutls_x509_crt_get_expiration_time(pair.crt);
	if (end == (time_t)-1)
		return nx_err_set(err, NX_E_MALFORMED, "certificate without an end");
	days = difftime(end, time(NULL)) / SECONDS_A_DAY;
	*ret_days = (int)(days < 0 ? days - 1 : days);
	return NX_OK;
}

nx_rc nx_tls_fits_host(const char *pem_file, const char *host, bool *ret, struct nx_err *err)
{
	NX_AUTO_DONE(pair) pair = {0};
	nx_rc rc = crt_read(AT_FDCWD, pem_file, &pair.crt, err);

	if (!rc)
		*ret = gnutls_x509_crt_check_hostname(pair.crt, host) != 0;
	return rc;
}
