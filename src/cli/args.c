#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"

#include "cli/cli_priv.h"

/* Options of more than one command; the row's flags say which command takes them. */
static const struct {
	struct cli_opt opt;
	unsigned flags; /* 0: every command */
} shared[] = {
	{{"site", "DIR", "The site; else NARTHEX_SITE"}, CLI_SERVER | CLI_SITE},
	{{"url", "URL", "A server elsewhere: https://host:8444"}, CLI_SERVER},
	{{"token-file", "FILE", "Bearer token for it; else NARTHEX_TOKEN"}, CLI_SERVER},
	{{"cacert", "FILE", "What its certificate is trusted by"}, CLI_SERVER},
	{{"passphrase-file", "FILE",
		 "Passphrase of the key store; else NARTHEX_PASSPHRASE, a "
		 "systemd credential, or a prompt"},
		CLI_SECRET},
	{{"passphrase-fd", "N", "The same from an open file descriptor"}, CLI_SECRET},
	{{"json", NULL, "Answer as JSON"}, 0},
	{{"help", NULL, "What this command does and takes"}, 0},
};

/* The i-th shared option of a command; NULL past the end. */
const struct cli_opt *cli_opt_shared(const struct cli_cmd *cmd, size_t i)
{
	for (size_t k = 0; k < NX_ARRAY_LEN(shared); k++)
		if ((!shared[k].flags || (cmd->flags & shared[k].flags)) && i-- == 0)
			return &shared[k].opt;
	return NULL;
}

static bool opt_is(const struct cli_opt *opt, const char *name, size_t n)
{
	return strlen(opt->name) == n && memcmp(opt->name, name, n) == 0;
}

static const struct cli_opt *opt_find(const struct cli_cmd *cmd, const char *name, size_t n)
{
	const struct cli_opt *opt;

	for (opt = cmd->opts; opt && opt->name; opt++)
		if (opt_is(opt, name, n))
			return opt;
	for (size_t i = 0; (opt = cli_opt_shared(cmd, i)); i++)
		if (opt_is(opt, name, n))
			return opt;
	return NULL;
}

/* How many words of argv the command's name takes; 0: it is another. */
static int cmd_match(const struct cli_cmd *cmd, int argc, char **argv)
{
	if (argc < 2 || strcmp(cmd->noun, argv[1]) != 0)
		return 0;
	if (!cmd->verb)
		return 1;
	return argc > 2 && strcmp(cmd->verb, argv[2]) == 0 ? 2 : 0;
}

/* `cmd` NULL: none was recognised. */
static nx_rc usage(
	struct nx_err *err, const struct cli_cmd *cmd, const char *what, const char *word)
{
	return nx_err_set(err, NX_E_INVAL, "%s%s%s; see narthex help%s%s%s%s", what,
		word ? ": " : "", word ? word : "", cmd ? " " : "", cmd ? cmd->noun : "",
		cmd && cmd->verb ? " " : "", cmd && cmd->verb ? cmd->verb : "");
}

static nx_rc option_add(
	struct cli_args *args, const struct cli_opt *opt, const char *value, struct nx_err *err)
{
	if (args->n_values == CLI_VALUES_MAX)
		return usage(err, args->cmd, "too many options", NULL);
	args->values[args->n_values].opt = opt;
	args->values[args->n_values++].value = value;
	return NX_OK;
}

static nx_rc option_take(struct cli_args *args, int argc, char **argv, int *at, struct nx_err *err)
{
	const char *name = argv[*at] + 2;
	size_t n = strcspn(name, "=");
	const struct cli_opt *opt = opt_find(args->cmd, name, n);
	const char *value = name[n] ? name + n + 1 : NULL;

	if (!opt)
		return usage(err, args->cmd, "no such option", argv[*at]);
	if (!opt->arg && value)
		return usage(err, args->cmd, "the option takes no value", argv[*at]);
	if (opt->arg && !value) {
		if (++*at >= argc)
			return usage(err, args->cmd, "the option needs a value", argv[*at - 1]);
		value = argv[*at];
	}
	return option_add(args, opt, value ? value : "", err);
}

static nx_rc rest_take(struct cli_args *args, int argc, char **argv, int at, struct nx_err *err)
{
	bool words_only = false;
	nx_rc rc = NX_OK;

	for (; at < argc && !rc; at++) {
		if (!words_only && strcmp(argv[at], "--") == 0)
			words_only = true;
		else if (!words_only && strcmp(argv[at], "-h") == 0)
			rc = option_add(args, opt_find(args->cmd, "help", 4), "", err);
		else if (!words_only && strncmp(argv[at], "--", 2) == 0)
			rc = option_take(args, argc, argv, &at, err);
		else if (!words_only && argv[at][0] == '-' && argv[at][1])
			rc = usage(err, args->cmd, "no such option", argv[at]);
		else if (args->n_words == CLI_WORDS_MAX)
			rc = usage(err, args->cmd, "too many arguments", NULL);
		else
			args->words[args->n_words++] = argv[at];
	}
	return rc;
}

bool cli_is_noun(const char *word)
{
	for (const struct cli_cmd *cmd = cli_cmds; cmd->noun; cmd++)
		if (strcmp(cmd->noun, word) == 0)
			return true;
	return false;
}

/* A noun alone has verbs to choose from. */
static nx_rc no_such(int argc, char **argv, struct nx_err *err)
{
	if (argc > 1 && cli_is_noun(argv[1]))
		return nx_err_set(
			err, NX_E_INVAL, "%s what?  See narthex help %s", argv[1], argv[1]);
	return usage(err, NULL, "no such command", argc > 1 ? argv[1] : NULL);
}

nx_rc cli_parse(int argc, char **argv, struct cli_args *ret, bool *ret_help, struct nx_err *err)
{
	const struct cli_cmd *cmd = cli_cmds;
	int words = 0;
	nx_rc rc;

	for (; cmd->noun && !(words = cmd_match(cmd, argc, argv)); cmd++)
		;
	if (!cmd->noun)
		return no_such(argc, argv, err);
	*ret = (struct cli_args){.cmd = cmd};
	rc = rest_take(ret, argc, argv, 1 + words, err);
	if (rc)
		return rc;
	*ret_help = cli_has(ret, "help");
	if (!*ret_help && (int)ret->n_words < cmd->min_args)
		return usage(err, cmd, "an argument is missing", cmd->args);
	if (!*ret_help && cmd->max_args >= 0 && (int)ret->n_words > cmd->max_args)
		return usage(err, cmd, "one argument too many", ret->words[cmd->max_args]);
	return NX_OK;
}

/* ---- what was given ---- */

const char *cli_get(const struct cli_args *args, const char *name)
{
	for (size_t i = args->n_values; i-- > 0;)
		if (strcmp(args->values[i].opt->name, name) == 0)
			return args->values[i].value;
	return NULL;
}

bool cli_has(const struct cli_args *args, const char *name)
{
	return cli_get(args, name) != NULL;
}

size_t cli_all(const struct cli_args *args, const char *name, const char **ret, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < args->n_values && n < max; i++)
		if (strcmp(args->values[i].opt->name, name) == 0)
			ret[n++] = args->values[i].value;
	return n;
}

nx_rc cli_number(const struct cli_args *args, const char *name, int64_t def, int64_t least,
	int64_t most, int64_t *ret, struct nx_err *err)
{
	const char *text = cli_get(args, name);
	char *end = NULL;
	long long v;

	*ret = def;
	if (!text)
		return NX_OK;
	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || end == text || *end || v < least || v > most)
		return nx_err_set(err, NX_E_INVAL, "--%s is not a number from %lld to %lld", name,
			(long long)least, (long long)most);
	*ret = v;
	return NX_OK;
}

nx_rc cli_need(const struct cli_args *args, const char *name, const char **ret, struct nx_err *err)
{
	const char *value = cli_get(args, name);

	if (!value || !value[0])
		return nx_err_set(err, NX_E_INVAL, "--%s is missing", name);
	*ret = value;
	return NX_OK;
}

nx_rc cli_confirm(
	const struct cli_args *args, const char *warning, const char *word, struct nx_err *err)
{
	char line[16] = "";

	if (cli_has(args, "yes"))
		return NX_OK;
	if (!isatty(STDIN_FILENO))
		return nx_err_set(err, NX_E_INVAL, "no terminal to ask on: give --yes");
	(void)fprintf(stderr, "%s  Type \"%s\" to go on: ", warning, word);
	if (!fgets(line, sizeof(line), stdin))
		line[0] = 0;
	line[strcspn(line, "\n")] = 0;
	if (strcmp(line, word) != 0)
		return nx_err_set(err, NX_E_INVAL, "nothing was done");
	return NX_OK;
}

const char *cli_collection(const struct cli_args *args, const char *def)
{
	const char *name = cli_get(args, "collection");

	return name ? name : def;
}

nx_rc cli_site(const struct cli_args *args, const char **ret, struct nx_err *err)
{
	const char *site = cli_get(args, "site");

	if (!site)
		site = nx_env("NARTHEX_SITE");
	if (!site || !site[0])
		return nx_err_set(err, NX_E_INVAL, "which site?  Give --site, or set NARTHEX_SITE");
	*ret = site;
	return NX_OK;
}
