#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/limits.h"
#include "cli/cli_priv.h"
#include "cli/progress.h"

enum {
	URL_LEN = 16384,
	TOKEN_LEN = 256,
	ANSWER_MAX = 256 * 1024 * 1024,
	ERROR_MAX = 64 * 1024,
	CONNECT_S = 10,
	HTTP_ERROR = 400,
	BUFFER_LEN = 512 * 1024
};

struct nx_client {
	CURL *curl;
	char base[4096]; /* scheme, host, prefix */
	char why[CURL_ERROR_SIZE];
	char bearer[TOKEN_LEN + 32];
	struct cli_bar *bar; /* NULL: none is shown */
};

/* One exchange: what goes out, and where what comes goes. */
struct exchange {
	CURL *curl;
	struct cli_bar *bar;
	int in_fd;  /* -1: none */
	int out_fd; /* -1: into `answer` */
	int errnum; /* of in_fd or out_fd */
	uint64_t received;
	struct nx_buf answer;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void global_init(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- where ---- */

static nx_rc token_read(const struct cli_args *args, char ret[TOKEN_LEN], struct nx_err *err)
{
	const char *file = cli_get(args, "token-file");
	const char *env = nx_env("NARTHEX_TOKEN");
	ssize_t n;

	ret[0] = '\0';
	if (file) {
		NX_AUTO_FD fd = open(file, O_RDONLY | O_CLOEXEC);

		n = fd < 0 ? -1 : read(fd, ret, TOKEN_LEN - 1);
		if (n < 0)
			return nx_err_errno(err, "token file");
		ret[n] = '\0';
	} else if (env && (size_t)snprintf(ret, TOKEN_LEN, "%s", env) >= TOKEN_LEN) {
		return nx_err_set(err, NX_E_INVAL, "NARTHEX_TOKEN is too long");
	}
	ret[strcspn(ret, "\r\n")] = '\0';
	return NX_OK;
}

static nx_rc remote_set(
	struct nx_client *c, const struct cli_args *args, const char *url, struct nx_err *err)
{
	const char *ca = cli_get(args, "cacert");
	size_t n = strlen(url);
	char token[TOKEN_LEN];
	nx_rc rc = token_read(args, token, err);

	if (rc)
		return rc;
	if (!token[0])
		return nx_err_set(err, NX_E_INVAL, "--url needs --token-file or NARTHEX_TOKEN");
	if (strncmp(url, "https://", 8) != 0)
		return nx_err_set(err, NX_E_INVAL, "--url does not begin with https://");
	while (n && url[n - 1] == '/')
		n--;
	if ((size_t)snprintf(c->base, sizeof(c->base), "%.*s/api/v1", (int)n, url) >=
		sizeof(c->base))
		return nx_err_set(err, NX_E_INVAL, "--url is too long");
	(void)snprintf(c->bearer, sizeof(c->bearer), "Authorization: Bearer %s", token);
	explicit_bzero(token, sizeof(token));
	if (ca && curl_easy_setopt(c->curl, CURLOPT_CAINFO, ca) != CURLE_OK)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a client");
	return NX_OK;
}

static nx_rc local_set(struct nx_client *c, const struct cli_args *args, struct nx_err *err)
{
	char path[4096];
	const char *site;
	nx_rc rc = cli_site(args, &site, err);

	if (rc)
		return rc;
	if ((size_t)snprintf(path, sizeof(path), "%s/narthex.yaml", site) >= sizeof(path))
		return nx_err_set(err, NX_E_INVAL, "path of the site is too long");
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return nx_err_set(err, NX_E_NOENT, "no site in %s", site);
	if ((size_t)snprintf(path, sizeof(path), "%s/run/narthex.sock", site) >= sizeof(path))
		return nx_err_set(err, NX_E_INVAL, "path of the site is too long");
	if (access(path, F_OK) < 0 && errno == EACCES)
		return nx_err_set(err, NX_E_DENIED, "the site's folder is closed to this user");
	if (access(path, F_OK) < 0)
		return nx_err_set(err, NX_E_CLOSED, "the site is not being served");
	(void)snprintf(c->base, sizeof(c->base), "http://localhost/api/v1");
	return curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, path) == CURLE_OK
		? NX_OK
		: nx_err_set(err, NX_E_INVAL, "path of the site is too long for a socket");
}

nx_rc nx_client_new(const struct cli_args *args, struct nx_client **ret_client, struct nx_err *err)
{
	NX_AUTO(nx_client) *c = calloc(1, sizeof(*c));
	const char *url = cli_get(args, "url");
	nx_rc rc;

	(void)pthread_once(&once, global_init);
	if (c)
		c->curl = curl_easy_init();
	if (!c || !c->curl)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a client");
	rc = url ? remote_set(c, args, url, err) : local_set(c, args, err);
	if (rc)
		return rc;
	*ret_client = NX_STEAL(c);
	return NX_OK;
}

struct nx_client *nx_client_free(struct nx_client *client)
{
	if (!client)
		return NULL;
	curl_easy_cleanup(client->curl);
	explicit_bzero(client, sizeof(*client));
	free(client);
	return NULL;
}

void nx_client_show(struct nx_client *client, struct cli_bar *bar)
{
	client->bar = bar;
}

/* ---- paths ---- */

static void encode(struct nx_buf *out, const char *s, bool keep_slash)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~";

	for (; *s; s++)
		if (strchr(plain, *s) || (keep_slash && *s == '/'))
			nx_buf_put(out, s, 1);
		else
			nx_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*s);
}

char *nx_client_path(const char *fmt, ...)
{
	NX_AUTO_DONE(nx_buf) buf;
	const char *text;
	va_list args;

	nx_buf_init(&buf, URL_LEN, 0);
	va_start(args, fmt);
	for (; *fmt; fmt++)
		if (fmt[0] == '%' && (fmt[1] == 's' || fmt[1] == 'S'))
			encode(&buf, va_arg(args, const char *), *++fmt == 'S');
		else
			nx_buf_put(&buf, fmt, 1);
	va_end(args);
	text = nx_buf_cstr(&buf);
	return text ? strdup(text) : NULL;
}

/* ---- one exchange ---- */

static size_t on_read(char *p, size_t size, size_t n, void *payload)
{
	struct exchange *x = payload;
	ssize_t got;

	do
		got = read(x->in_fd, p, size * n);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		x->errnum = errno;
		return CURL_READFUNC_ABORT;
	}
	return (size_t)got;
}

/* A refusal's text goes to `answer` whatever was asked for. */
static size_t on_write(char *p, size_t size, size_t n, void *payload)
{
	struct exchange *x = payload;
	size_t left = size * n;
	long status = 0;
	ssize_t put;

	(void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
	if (x->out_fd < 0 || status >= HTTP_ERROR) {
		nx_buf_put(&x->answer, p, left);
		return x->answer.failed ? 0 : left;
	}
	for (; left; left -= (size_t)put, p += put) {
		put = write(x->out_fd, p, left);
		if (put < 0 && errno == EINTR)
			put = 0;
		if (put < 0) {
			x->errnum = errno;
			return 0;
		}
	}
	x->received += size * n;
	return size * n;
}

static int on_progress(
	void *payload, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct exchange *x = payload;
	bool sends = x->in_fd >= 0;

	if (x->bar)
		cli_bar_set(x->bar, x->bar->before + (uint64_t)(sends ? up : down),
			x->bar->total ? x->bar->total : (uint64_t)(sends ? up_total : down_total));
	return cli_interrupted();
}

/* {"error":{"code","message"}} */
static nx_rc refusal(const struct exchange *x, long status, struct nx_err *err)
{
	json_t *json = json_loadb((const char *)x->answer.data, x->answer.len, 0, NULL);
	const char *code = NULL, *message = NULL;
	nx_rc rc;

	(void)!json_unpack(json, "{s:{s:s,s:s}}", "error", "code", &code, "message", &message);
	if (code && message)
		rc = nx_err_set(err, cli_rc_parse(code), "%s", message);
	else
		rc = nx_err_set(err, NX_E_INTERNAL, "the server answered %ld", status);
	json_decref(json);
	return rc;
}

static nx_rc exchange_result(
	struct nx_client *c, struct exchange *x, CURLcode code, struct nx_err *err)
{
	long status = 0;

	(void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK && cli_interrupted())
		return nx_err_set(err, NX_E_CLOSED, "interrupted");
	if (x->errnum) {
		errno = x->errnum;
		return nx_err_errno(err, "local file");
	}
	/* The answer may have come before all was sent: it says more than the broken pipe. */
	if (status >= HTTP_ERROR && x->answer.len)
		return refusal(x, status, err);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return nx_err_set(err, NX_E_TIMEOUT, "server: %s", curl_easy_strerror(code));
	if (code != CURLE_OK)
		return nx_err_set(err, NX_E_CLOSED, "server: %s",
			c->why[0] ? c->why : curl_easy_strerror(code));
	if (status >= HTTP_ERROR)
		return refusal(x, status, err);
	return nx_buf_check(&x->answer, err);
}

static bool handle_set(struct nx_client *c, struct exchange *x, const char *method, const char *url)
{
	CURL *h = c->curl;

	c->why[0] = '\0';
	return curl_easy_setopt(h, CURLOPT_URL, url) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->why) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_NOPROXY, "*") == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_BUFFERSIZE, (long)BUFFER_LEN) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_LEN) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_XFERINFODATA, x) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_write) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_WRITEDATA, x) == CURLE_OK;
}

static bool upload_set(struct nx_client *c, struct exchange *x, uint64_t size)
{
	CURL *h = c->curl;

	return curl_easy_setopt(h, CURLOPT_UPLOAD, 1L) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_READFUNCTION, on_read) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_READDATA, x) == CURLE_OK &&
		curl_easy_setopt(h, CURLOPT_INFILESIZE_LARGE,
			size == UINT64_MAX ? (curl_off_t)-1 : (curl_off_t)size) == CURLE_OK;
}

static bool body_set(struct nx_client *c, const char *body)
{
	return curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body)) ==
		CURLE_OK &&
		curl_easy_setopt(c->curl, CURLOPT_COPYPOSTFIELDS, body) == CURLE_OK;
}

/* Whatever an earlier exchange set of upload and body. */
static void handle_clear(struct nx_client *c)
{
	(void)curl_easy_setopt(c->curl, CURLOPT_UPLOAD, 0L);
	(void)curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
	(void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, NULL);
}

static struct curl_slist *headers_make(const struct nx_client *c, const char *media_type)
{
	struct curl_slist *list = curl_slist_append(NULL, "Accept: application/json, */*;q=0.5");
	char text[512];

	if (list && c->bearer[0] && !curl_slist_append(list, c->bearer)) {
		curl_slist_free_all(list);
		return NULL;
	}
	(void)snprintf(text, sizeof(text), "Content-Type: %s", media_type);
	if (list && media_type[0] && !curl_slist_append(list, text)) {
		curl_slist_free_all(list);
		return NULL;
	}
	return list;
}

struct request {
	const char *method;
	const char *path;
	const char *media_type; /* "" : no body */
	const char *body;       /* text, or NULL */
	uint64_t size;          /* of in_fd */
};

static nx_rc exchange_run(
	struct nx_client *c, struct exchange *x, const struct request *r, struct nx_err *err)
{
	struct curl_slist *headers = headers_make(c, r->media_type);
	NX_AUTO_MEM char *url = NULL;
	bool ok = headers && asprintf(&url, "%s%s", c->base, r->path) > 0;
	CURLcode code;

	x->curl = c->curl;
	x->bar = c->bar;
	handle_clear(c);
	ok = ok && (x->in_fd < 0 || upload_set(c, x, r->size));
	ok = ok && (!r->body || body_set(c, r->body));
	ok = ok && handle_set(c, x, r->method, url) &&
		curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK;
	if (!ok) {
		curl_slist_free_all(headers);
		return nx_err_set(err, NX_E_NOMEM, "no memory for a request");
	}
	code = curl_easy_perform(c->curl);
	(void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	return exchange_result(c, x, code, err);
}

nx_rc nx_client_text(struct nx_client *client, const char *method, const char *path,
	const json_t *body, struct nx_buf *out, struct nx_err *err)
{
	struct exchange x = {.in_fd = -1, .out_fd = -1};
	NX_AUTO_MEM char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	const struct request r = {.method = method,
		.path = path,
		.media_type = body ? "application/json" : "",
		.body = text};
	nx_rc rc;

	if (body && !text)
		return nx_err_set(err, NX_E_NOMEM, "no memory for a request");
	nx_buf_init(&x.answer, ANSWER_MAX, NX_BUF_WIPE);
	rc = exchange_run(client, &x, &r, err);
	if (!rc)
		nx_buf_put_slice(out, nx_buf_slice(&x.answer));
	nx_buf_done(&x.answer);
	return rc ? rc : nx_buf_check(out, err);
}

static nx_rc answer_json(const struct nx_buf *answer, json_t **ret, struct nx_err *err)
{
	if (!ret)
		return NX_OK;
	*ret = json_loadb((const char *)answer->data, answer->len, 0, NULL);
	return *ret ? NX_OK : nx_err_set(err, NX_E_MALFORMED, "the answer is not JSON");
}

nx_rc nx_client_json(struct nx_client *client, const char *method, const char *path,
	const json_t *body, json_t **ret, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) answer;
	nx_rc rc;

	nx_buf_init(&answer, ANSWER_MAX, NX_BUF_WIPE);
	rc = nx_client_text(client, method, path, body, &answer, err);
	return rc ? rc : answer_json(&answer, ret, err);
}

nx_rc nx_client_upload(struct nx_client *client, const char *method, const char *path,
	const struct nx_upload *upload, json_t **ret, struct nx_err *err)
{
	struct exchange x = {.in_fd = upload->fd, .out_fd = -1};
	const struct request r = {.method = method,
		.path = path,
		.media_type = upload->media_type,
		.size = upload->size};
	nx_rc rc;

	nx_buf_init(&x.answer, ANSWER_MAX, NX_BUF_WIPE);
	rc = exchange_run(client, &x, &r, err);
	if (!rc)
		rc = answer_json(&x.answer, ret, err);
	nx_buf_done(&x.answer);
	return rc;
}

nx_rc nx_client_download(
	struct nx_client *client, const char *path, int fd, uint64_t *ret_bytes, struct nx_err *err)
{
	struct exchange x = {.in_fd = -1, .out_fd = fd};
	const struct request r = {.method = "GET", .path = path, .media_type = ""};
	nx_rc rc;

	nx_buf_init(&x.answer, ERROR_MAX, NX_BUF_WIPE);
	rc = exchange_run(client, &x, &r, err);
	nx_buf_done(&x.answer);
	if (!rc)
		*ret_bytes = x.received;
	return rc;
}
