#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/secret.h"
#include "cli/cli_priv.h"
#include "cli/progress.h"
#include "crypto/crypto.h"

/* The exit status of every code; docs and scripts rely on it. */
static const struct {
	nx_rc rc;
	enum cli_exit status;
} statuses[] = {
	{NX_E_INVAL, EXIT_USAGE},
	{NX_E_NOENT, EXIT_NOENT},
	{NX_E_ERASED, EXIT_NOENT},
	{NX_E_DENIED, EXIT_DENIED},
	{NX_E_UNAUTHENTICATED, EXIT_DENIED},
	{NX_E_KEY, EXIT_DENIED},
	{NX_E_CORRUPT, EXIT_INTEGRITY},
	{NX_E_CLOSED, EXIT_UNREACHABLE},
	{NX_E_TIMEOUT, EXIT_UNREACHABLE},
	{NX_E_EXISTS, EXIT_CONFLICT},
	{NX_E_CONFLICT, EXIT_CONFLICT},
	{NX_E_PRECONDITION, EXIT_CONFLICT},
	{NX_E_BUSY, EXIT_BUSY},
};

const struct cli_status cli_statuses[] = {
	{EXIT_OK, "done"},
	{EXIT_FAILED, "failed, or done in part: the text says what"},
	{EXIT_USAGE, "wrong usage, or a value that is not allowed"},
	{EXIT_NOENT, "not found, or erased"},
	{EXIT_DENIED, "denied: no permission, wrong token, wrong passphrase"},
	{EXIT_INTEGRITY, "stored bytes, ledger or certificate are not what they were"},
	{EXIT_UNREACHABLE, "the server cannot be reached, or did not answer in time"},
	{EXIT_CONFLICT, "something else is there already, or a condition does not hold"},
	{EXIT_BUSY, "busy: another process has the site, or there are too many"},
	{EXIT_INTERRUPTED, "interrupted; nothing is left half done"},
	{0, NULL},
};

int cli_exit_of(nx_rc rc)
{
	for (size_t i = 0; i < NX_ARRAY_LEN(statuses); i++)
		if (statuses[i].rc == rc)
			return statuses[i].status;
	return rc ? EXIT_FAILED : EXIT_OK;
}

nx_rc cli_rc_parse(const char *wire)
{
	for (nx_rc rc = NX_OK + 1; rc < NX_E_COUNT_; rc++)
		if (strcmp(nx_rc_wire(rc), wire) == 0)
			return rc;
	return NX_E_INTERNAL;
}

nx_rc cli_print(const struct nx_buf *buf, struct nx_err *err)
{
	nx_rc rc = nx_buf_check(buf, err);

	if (!rc && buf->len && fwrite(buf->data, 1, buf->len, stdout) != buf->len)
		rc = nx_err_errno(err, "standard output");
	if (!rc && fflush(stdout) != 0)
		rc = nx_err_errno(err, "standard output");
	return rc;
}

nx_rc cli_file_write(const char *path, struct nx_slice bytes, struct nx_err *err)
{
	NX_AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)0600);
	size_t done = 0;
	ssize_t n;

	if (fd < 0)
		return nx_err_errno(err, "create %s", path);
	for (; done < bytes.n; done += (size_t)n) {
		n = write(fd, bytes.p + done, bytes.n - done);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return nx_err_errno(err, "write %s", path);
	}
	return fsync(fd) < 0 ? nx_err_errno(err, "sync %s", path) : NX_OK;
}

const char *cli_bytes(uint64_t n, char ret[16])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double v = (double)n;
	size_t u = 0;

	for (; v >= 1024 && u + 1 < NX_ARRAY_LEN(units); u++)
		v /= 1024;
	(void)snprintf(ret, 16, u && v < 100 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return ret;
}

/* What is made in a site is its owner's alone, whoever makes the file; what is in memory stays
 * there. */
static nx_rc cmd_run(const struct cli_args *args, struct nx_err *err)
{
	nx_secret_no_core();
	if (args->cmd->flags & CLI_SITE)
		(void)umask(077);
	return args->cmd->run(args, err);
}

/* ---- standard streams ---- */

/* Where one is closed, the next file or socket would get its number, and what is printed with it.
 */
static bool streams_open(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

/* Whether all of it was taken.  Who reads from a pipe may have enough. */
static nx_rc output_end(struct nx_err *err)
{
	struct stat st;

	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return NX_OK;
	if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
		return NX_OK;
	return errno ? nx_err_errno(err, "standard output")
		     : nx_err_set(err, NX_E_IO, "standard output was not written");
}

/* ---- arguments ---- */

static char **words_free(int argc, char **words)
{
	for (int i = 0; words && i < argc; i++) {
		if (words[i])
			explicit_bzero(words[i], strlen(words[i]));
		free(words[i]);
	}
	free(words);
	return NULL;
}

static char **words_copy(int argc, char **argv)
{
	char **words = calloc((size_t)argc + 1, sizeof(*words));

	for (int i = 0; words && i < argc; i++) {
		words[i] = strdup(argv[i]);
		if (!words[i])
			words = words_free(i, words);
	}
	return words;
}

/* Everybody on the machine can list arguments: those that name a patient, an item or a token are
 * there no longer than it takes to read them. */
static void words_hide(const struct cli_cmd *cmd, int argc, char **argv)
{
	for (int i = cmd->verb ? 3 : 2; (cmd->flags & CLI_SERVER) && i < argc; i++)
		memset(argv[i], '*', strlen(argv[i]));
}

static nx_rc run(int argc, char **argv, char **words, struct cli_args *args, struct nx_err *err)
{
	bool help = false;
	nx_rc rc = cli_parse(argc, words, args, &help, err);

	if (rc)
		return rc;
	words_hide(args->cmd, argc, argv);
	if (help) {
		cli_cmd_help(args->cmd);
		return NX_OK;
	}
	rc = nx_crypto_init(err);
	return rc ? rc : cmd_run(args, err);
}

int nx_cli_main(int argc, char **argv)
{
	static char version[] = "version";
	struct nx_err err = {0};
	struct cli_args *args;
	char **words;
	nx_rc rc;

	if (!streams_open())
		return EXIT_FAILED;
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		cli_help(NULL);
		return argc < 2 ? EXIT_USAGE : EXIT_OK;
	}
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = version;
	cli_signals();
	args = calloc(1, sizeof(*args));
	words = words_copy(argc, argv);
	rc = args && words ? run(argc, argv, words, args, &err)
			   : nx_err_set(&err, NX_E_NOMEM, "no memory");
	if (!rc)
		rc = output_end(&err);
	if (rc)
		(void)fprintf(stderr, "narthex: %s\n", nx_err_text(&err));
	free(args);
	(void)words_free(argc, words);
	return rc && cli_interrupted() ? EXIT_INTERRUPTED : cli_exit_of(rc);
}
