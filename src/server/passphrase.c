#include "server/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/env.h"
#include "base/log.h"

enum {
	PASSPHRASE_MAX = 1024,
	PASSPHRASE_MIN = 8, /* of a new one; NIST SP 800-63B 5.1.1.1 */
	PATH_LEN = 4096
};

static nx_rc secret_take(char *text, size_t n, struct nx_secret **ret, struct nx_err *err)
{
	struct nx_secret *secret;

	if (n && text[n - 1] == '\n')
		n--;
	if (n && text[n - 1] == '\r')
		n--;
	if (!n)
		return nx_err_set(err, NX_E_INVAL, "the passphrase is empty");
	secret = nx_secret_new(n);
	if (!secret)
		return nx_err_set(err, NX_E_NOMEM, "no locked memory for the passphrase");
	memcpy(secret->data, text, n);
	*ret = secret;
	return NX_OK;
}

static nx_rc fd_read(int fd, struct nx_secret **ret, struct nx_err *err)
{
	char text[PASSPHRASE_MAX + 2];
	size_t n = 0;
	ssize_t got;
	nx_rc rc;

	do {
		got = read(fd, text + n, sizeof(text) - n);
		n += got > 0 ? (size_t)got : 0;
	} while (n < sizeof(text) && (got > 0 || (got < 0 && errno == EINTR)));
	if (got < 0)
		rc = nx_err_errno(err, "read the passphrase");
	else if (n == sizeof(text))
		rc = nx_err_set(err, NX_E_LIMIT, "the passphrase is too long");
	else
		rc = secret_take(text, n, ret, err);
	explicit_bzero(text, sizeof(text));
	return rc;
}

static nx_rc file_read(const char *path, struct nx_secret **ret, struct nx_err *err)
{
	NX_AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return nx_err_errno(err, "passphrase file");
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 007))
		nx_log(NX_LOG_WARN, "server", "passphrase",
			"the passphrase file is open to everybody: chmod o= it");
	return fd_read(fd, ret, err);
}

/* A signal that comes before the read ends it as one during the read does: it is blocked but while
 * waiting. */
static ssize_t line_read(int tty, const char *prompt, char *ret, size_t cap)
{
	struct pollfd poll = {.fd = tty, .events = POLLIN};
	sigset_t signals, was;
	ssize_t n;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &signals, &was);
	(void)dprintf(tty, "%s", prompt);
	n = ppoll(&poll, 1, NULL, &was);
	if (n >= 0)
		n = read(tty, ret, cap);
	(void)pthread_sigmask(SIG_SETMASK, &was, NULL);
	return n;
}

/* One line from the terminal, without echo. */
static nx_rc line_ask(int tty, const char *prompt, struct nx_secret **ret, struct nx_err *err)
{
	struct termios was, quiet;
	char text[PASSPHRASE_MAX + 2];
	ssize_t n;
	nx_rc rc;

	if (tcgetattr(tty, &was) < 0)
		return nx_err_errno(err, "terminal");
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	/* First quiet, then the prompt: what is typed at it is neither shown nor dropped. */
	(void)tcsetattr(tty, TCSAFLUSH, &quiet);
	n = line_read(tty, prompt, text, sizeof(text) - 1);
	(void)tcsetattr(tty, TCSAFLUSH, &was);
	(void)dprintf(tty, "\n");
	rc = n < 0 ? nx_err_errno(err, "terminal") : secret_take(text, (size_t)n, ret, err);
	explicit_bzero(text, sizeof(text));
	return rc;
}

static nx_rc prompt_read(
	const struct nx_passphrase_source *source, struct nx_secret **ret, struct nx_err *err)
{
	NX_AUTO_FD tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	NX_AUTO(nx_secret) *first = NULL;
	NX_AUTO(nx_secret) *again = NULL;
	nx_rc rc;

	if (tty < 0)
		return nx_err_set(err, NX_E_INVAL,
			"no passphrase: give --passphrase-file or --passphrase-fd");
	rc = line_ask(tty, source->prompt ? source->prompt : "Passphrase: ", &first, err);
	if (!rc && source->fresh)
		rc = line_ask(tty, "Again: ", &again, err);
	if (rc)
		return rc;
	if (again && (again->n != first->n || !nx_secret_eq(again->data, first->data, first->n)))
		return nx_err_set(err, NX_E_INVAL, "the two are not the same");
	*ret = NX_STEAL(first);
	return NX_OK;
}

static nx_rc number_fd_read(const char *text, struct nx_secret **ret, struct nx_err *err)
{
	char *end = NULL;
	long fd = strtol(text, &end, 10);

	if (end == text || *end || fd < 0 || fd > 65535)
		return nx_err_set(err, NX_E_INVAL, "--passphrase-fd is not a number");
	return fd_read((int)fd, ret, err);
}

static nx_rc source_read(
	const struct nx_passphrase_source *source, struct nx_secret **ret, struct nx_err *err)
{
	const char *folder = nx_env("CREDENTIALS_DIRECTORY");
	char *text = nx_env("NARTHEX_PASSPHRASE");
	char path[PATH_LEN];
	nx_rc rc;

	if (source->file)
		return file_read(source->file, ret, err);
	if (source->fd)
		return number_fd_read(source->fd, ret, err);
	if (text) {
		rc = secret_take(text, strlen(text), ret, err);
		explicit_bzero(text, strlen(text)); /* out of /proc/self/environ */
		return rc;
	}
	if (folder &&
		(size_t)snprintf(path, sizeof(path), "%s/passphrase", folder) < sizeof(path) &&
		access(path, R_OK) == 0)
		return file_read(path, ret, err);
	return prompt_read(source, ret, err);
}

nx_rc nx_passphrase_read(
	const struct nx_passphrase_source *source, struct nx_secret **ret, struct nx_err *err)
{
	NX_AUTO(nx_secret) *secret = NULL;
	nx_rc rc = source_read(source, &secret, err);

	if (rc)
		return rc;
	if (source->fresh && secret->n < PASSPHRASE_MIN)
		return nx_err_set(err, NX_E_INVAL,
			"a new passphrase has at least %d characters; best are random ones",
			PASSPHRASE_MIN);
	*ret = NX_STEAL(secret);
	return NX_OK;
}
