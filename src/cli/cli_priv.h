/*
 * cli_priv.h - commands, their arguments, and what they print with.
 *
 * Layer:   5 (cli), private.
 * Threads: see cli.h.
 * PHI:     see cli.h.
 */
#ifndef NX_CLI_CLI_PRIV_H
#define NX_CLI_CLI_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "base/slice.h"

struct nx_buf;

enum {
	CLI_VALUES_MAX = 64,
	CLI_WORDS_MAX = 4096
};

enum cli_exit {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NOENT = 3,
	EXIT_DENIED = 4,
	EXIT_INTEGRITY = 5,
	EXIT_UNREACHABLE = 6,
	EXIT_CONFLICT = 7,
	EXIT_BUSY = 8,
	EXIT_INTERRUPTED = 130, /* as a shell says it: 128 + SIGINT */
};

struct cli_opt {
	const char *name;
	const char *arg; /* NULL: a flag */
	const char *help;
};

struct cli_args;

enum cli_flags {
	CLI_SERVER = 1, /* is a client of the server: takes --site, --url, --token, --cacert */
	CLI_SITE = 2,   /* works on the site itself: takes --site */
	CLI_SECRET = 4, /* needs the passphrase: takes --passphrase-file, --passphrase-fd */
};

/* One row per command.  `verb` is NULL for those of one word. */
struct cli_cmd {
	const char *noun;
	const char *verb;
	const char *args;
	const char *help;
	const char *more;           /* printed by --help of the command; NULL */
	const struct cli_opt *opts; /* ends with {0}; NULL: none of its own */
	int min_args;
	int max_args;
	unsigned flags;
	nx_rc (*run)(const struct cli_args *args, struct nx_err *err);
};
extern const struct cli_cmd cli_cmds[];

struct cli_args {
	const struct cli_cmd *cmd;
	const char *words[CLI_WORDS_MAX];
	size_t n_words;
	struct {
		const struct cli_opt *opt;
		const char *value;
	} values[CLI_VALUES_MAX];
	size_t n_values;
};

/* The last value given of an option; NULL. */
const char *cli_get(const struct cli_args *args, const char *name);
bool cli_has(const struct cli_args *args, const char *name);
/* All values of an option, in order; at most `max`. */
size_t cli_all(const struct cli_args *args, const char *name, const char **ret, size_t max);
/* A number from least to most; `def` where it is absent. */
NX_NODISCARD nx_rc cli_number(const struct cli_args *args, const char *name, int64_t def,
	int64_t least, int64_t most, int64_t *ret, struct nx_err *err);
/* An option that must be there. */
NX_NODISCARD nx_rc cli_need(
	const struct cli_args *args, const char *name, const char **ret, struct nx_err *err);
/* --yes, or a person on a terminal who types `word` after the warning; NX_E_INVAL. */
NX_NODISCARD nx_rc cli_confirm(
	const struct cli_args *args, const char *warning, const char *word, struct nx_err *err);
/* --collection, else `def`. */
const char *cli_collection(const struct cli_args *args, const char *def);
/* --site, else NARTHEX_SITE. */
NX_NODISCARD nx_rc cli_site(const struct cli_args *args, const char **ret, struct nx_err *err);

NX_NODISCARD nx_rc cli_parse(
	int argc, char **argv, struct cli_args *ret, bool *ret_help, struct nx_err *err);
/* Is it the first word of a command? */
bool cli_is_noun(const char *word);
/* The i-th option that commands of these flags share; NULL past the end. */
const struct cli_opt *cli_opt_shared(const struct cli_cmd *cmd, size_t i);

/* What each exit status means; ends with {0, NULL}. */
struct cli_status {
	int status;
	const char *meaning;
};
extern const struct cli_status cli_statuses[];

/* Exit status and wire name of a code. */
int cli_exit_of(nx_rc rc);
nx_rc cli_rc_parse(const char *wire);

/* ---- printing ---- */

/* All commands, or those of a noun. */
void cli_help(const char *noun);
void cli_cmd_help(const struct cli_cmd *cmd);
void cli_man(struct nx_buf *out);
void cli_completion(struct nx_buf *out);
/* Of the conformance statement, each under a line "<!-- NAME -->". */
void cli_tables(struct nx_buf *out);
/* To a file that only its owner reads; it must not be there. */
NX_NODISCARD nx_rc cli_file_write(const char *path, struct nx_slice bytes, struct nx_err *err);
/* "Serve it: ...", as the command that made the site was called. */
void cli_serve_hint(const struct cli_args *args, const char *site);
/* To standard output. */
NX_NODISCARD nx_rc cli_print(const struct nx_buf *buf, struct nx_err *err);
/* "1.5 GiB" */
const char *cli_bytes(uint64_t n, char ret[16]);

/* ---- commands, by the file they are in ---- */

nx_rc cmd_init(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_serve(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_config(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_fsck(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_restore(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_backup(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_reject(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_rejected_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_rejected_get(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_rejected_restore(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_version_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_version_get(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_edit(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_deid(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_release_create(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_release_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_release_manifest(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_release_verifier(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_lease_open(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_lease_read(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_lease_end(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_erase(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_certificate_check(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_who_saw(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_version(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_help(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_bench(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_doctor(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_status(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_collection_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_collection_create(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_ae_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_ae_allow(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_ae_remove(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_echo(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_destination_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_destination_set(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_destination_remove(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_forward_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_forward_add(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_forward_remove(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_forward_send(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_forward_queue(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_forward_retry(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_forward_drop(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_worklist_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_worklist_add(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_worklist_set(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_worklist_remove(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_step_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_step_show(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_completeness(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_token_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_token_create(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_token_revoke(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_key_status(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_key_rotate(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_key_passphrase(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_key_place(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_scrub(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_ledger_verify(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_ledger_search(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_ledger_prove(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_ledger_export(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_ledger_checkpoint(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_import(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_quarantine_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_quarantine_show(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_quarantine_get(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_quarantine_retry(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_quarantine_discard(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_changes(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_conflict_list(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_conflict_show(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_conflict_settle(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_conflict_get(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_find(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_get(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_put(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_ls(const struct cli_args *args, struct nx_err *err);
nx_rc cmd_rm(const struct cli_args *args, struct nx_err *err);

#endif
