/*
 * client.h - a client of the API over libcurl: a site's Unix socket, or HTTPS with a token.
 *
 * Layer:   5 (cli).  Uses libcurl, jansson.
 * Threads: a client belongs to one thread.
 * PHI:     passes through.
 */
#ifndef NX_CLI_CLIENT_H
#define NX_CLI_CLIENT_H

#include <jansson.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"

struct cli_args;
struct cli_bar;
struct nx_buf;
struct nx_client;

NX_NODISCARD nx_rc nx_client_new(
	const struct cli_args *args, struct nx_client **ret_client, struct nx_err *err);
struct nx_client *nx_client_free(struct nx_client *client);
NX_DEFINE_AUTO(nx_client);

/* What goes up or down from now on moves this bar; NULL: none. */
void nx_client_show(struct nx_client *client, struct cli_bar *bar);

/* "/collections/%s/objects/%s": each %s is percent-encoded as one segment, each %S keeps its
 * slashes.  From the heap. */
char *nx_client_path(const char *fmt, ...);

/* `body` may be NULL; *ret (may be NULL) is the answer, json_decref() it.  A refusal has the
 * server's code and text. */
NX_NODISCARD nx_rc nx_client_json(struct nx_client *client, const char *method, const char *path,
	const json_t *body, json_t **ret, struct nx_err *err);
/* The answer as it came. */
NX_NODISCARD nx_rc nx_client_text(struct nx_client *client, const char *method, const char *path,
	const json_t *body, struct nx_buf *out, struct nx_err *err);
struct nx_upload {
	const char *media_type;
	int fd;
	uint64_t size; /* bytes from where it is; UINT64_MAX: until its end */
};
NX_NODISCARD nx_rc nx_client_upload(struct nx_client *client, const char *method, const char *path,
	const struct nx_upload *upload, json_t **ret, struct nx_err *err);
NX_NODISCARD nx_rc nx_client_download(struct nx_client *client, const char *path, int fd,
	uint64_t *ret_bytes, struct nx_err *err);

/* ---- what most commands do with an answer ---- */

struct cli_column {
	const char *title;
	const char *key;
	int width;
};
void cli_titles(const struct cli_column *columns);
void cli_rows(const json_t *rows, const struct cli_column *columns);
void cli_table(const json_t *rows, const struct cli_column *columns); /* both */
/* Entries of the ledger, as a table. */
void cli_entries(const json_t *entries);
void cli_json(json_t *json);
/* GET `path`; print the array under `name` as a table, or all of it as JSON. */
NX_NODISCARD nx_rc cli_list(const struct cli_args *args, const char *path, const char *name,
	const struct cli_column *columns, struct nx_err *err);
/* GET `path` (taken) and print what comes as it is. */
NX_NODISCARD nx_rc cli_text(const struct cli_args *args, char *path, struct nx_err *err);
/* A local path as the server will understand it; from the heap. */
char *cli_absolute(const char *path);
/* "/what?key=value&..." of those of the named options that were given; from the heap. */
char *cli_query(const struct cli_args *args, const char *what, const char *const *keys, size_t n);
/* GET `path` into the file `to`, by way of a temporary name: a file that has its name is whole. "-"
 * is standard output. */
NX_NODISCARD nx_rc cli_download(
	struct nx_client *client, const char *path, const char *to, struct nx_err *err);
/* The same with a client of its own; takes `path`. */
NX_NODISCARD nx_rc cli_fetch(
	const struct cli_args *args, char *path, const char *to, struct nx_err *err);
/* An object into a file or to standard output. */
NX_NODISCARD nx_rc cli_object_get(
	const struct cli_args *args, struct nx_client *client, struct nx_err *err);
/* One exchange with a client of its own; takes `path` (from the heap; NULL: no memory) and `body`.
 */
NX_NODISCARD nx_rc cli_ask(const struct cli_args *args, const char *method, char *path,
	json_t *body, json_t **ret, struct nx_err *err);
/* The same of a long work of that name, with a bar; the server goes on when we do not wait. */
NX_NODISCARD nx_rc cli_ask_long(const struct cli_args *args, const char *work, char *path,
	json_t *body, json_t **ret, struct nx_err *err);
/* KEY=VALUE words from the i-th on, as members. */
NX_NODISCARD nx_rc cli_pairs(
	const struct cli_args *args, size_t i, json_t *object, struct nx_err *err);
/* Prints as JSON with --json, else calls `print`; takes `json`. */
void cli_answer(const struct cli_args *args, json_t *json, void (*print)(const json_t *json));

#endif
