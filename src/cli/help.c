#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "cli/cli_priv.h"

enum {
	TITLE_LEN = 128,
	COLUMN = 26
};

static const char *title(const struct cli_cmd *cmd, char ret[TITLE_LEN])
{
	(void)snprintf(ret, TITLE_LEN, "%s%s%s%s%s", cmd->noun, cmd->verb ? " " : "",
		cmd->verb ? cmd->verb : "", cmd->args[0] ? " " : "", cmd->args);
	return ret;
}

static const char *option(const struct cli_opt *opt, char ret[TITLE_LEN])
{
	(void)snprintf(ret, TITLE_LEN, "--%s%s%s", opt->name, opt->arg ? " " : "",
		opt->arg ? opt->arg : "");
	return ret;
}

/* Where a command finds what was not said. */
static const struct {
	const char *name;
	const char *meaning;
} environment[] = {
	{"NARTHEX_SITE", "The site, where --site is not given"},
	{"NARTHEX_TOKEN", "Bearer token for --url, where --token-file is not given"},
	{"NARTHEX_PASSPHRASE",
		"Passphrase of the key store; a file or a systemd credential is better"},
	{"NARTHEX_<SECTION>_<KEY>", "A key of the configuration, over narthex.yaml"},
};

void cli_help(const char *noun)
{
	char text[TITLE_LEN];

	(void)printf("narthex: storage for clinical AI\n\nnarthex COMMAND [OPTION...]\n\n");
	for (const struct cli_cmd *cmd = cli_cmds; cmd->noun; cmd++)
		if (!noun || strcmp(noun, cmd->noun) == 0)
			(void)printf("  %-*s  %s\n", COLUMN + 12, title(cmd, text), cmd->help);
	(void)printf("\nWhat a command takes: narthex help %s%s\n", noun ? noun : "COMMAND",
		noun ? " VERB" : "");
	if (noun)
		return;
	(void)printf("\nExit status:\n");
	for (const struct cli_status *s = cli_statuses; s->meaning; s++)
		(void)printf("  %3d  %s\n", s->status, s->meaning);
	(void)printf("\nEnvironment:\n");
	for (size_t i = 0; i < NX_ARRAY_LEN(environment); i++)
		(void)printf("  %-*s  %s\n", COLUMN, environment[i].name, environment[i].meaning);
}

static void opts_print(const struct cli_cmd *cmd)
{
	const struct cli_opt *opt;
	char text[TITLE_LEN];

	(void)printf("\nOptions:\n");
	for (opt = cmd->opts; opt && opt->name; opt++)
		(void)printf("  %-*s  %s\n", COLUMN, option(opt, text), opt->help);
	for (size_t i = 0; (opt = cli_opt_shared(cmd, i)); i++)
		(void)printf("  %-*s  %s\n", COLUMN, option(opt, text), opt->help);
}

void cli_cmd_help(const struct cli_cmd *cmd)
{
	char text[TITLE_LEN];

	(void)printf("narthex %s\n\n%s.\n", title(cmd, text), cmd->help);
	if (cmd->more)
		(void)printf("\n%s\n", cmd->more);
	opts_print(cmd);
}

/* ---- man page: roff, man(7) ---- */

/* A hyphen in roff is "\-"; a line must not begin with a period. */
static void roff(struct nx_buf *out, const char *text)
{
	if (text[0] == '.')
		nx_buf_put_str(out, "\\&");
	for (; *text; text++)
		if (*text == '-' || *text == '\\')
			nx_buf_printf(out, "\\%c", *text);
		else
			nx_buf_put(out, text, 1);
}

static void roff_opt(struct nx_buf *out, const struct cli_opt *opt)
{
	char text[TITLE_LEN];

	nx_buf_put_str(out, ".TP\n.B ");
	roff(out, option(opt, text));
	nx_buf_put_str(out, "\n");
	roff(out, opt->help);
	nx_buf_put_str(out, ".\n");
}

static void roff_cmd(struct nx_buf *out, const struct cli_cmd *cmd)
{
	char text[TITLE_LEN];

	nx_buf_put_str(out, ".SS ");
	roff(out, title(cmd, text));
	nx_buf_put_str(out, "\n");
	roff(out, cmd->help);
	nx_buf_put_str(out, ".\n");
	if (cmd->more) {
		nx_buf_put_str(out, ".PP\n");
		roff(out, cmd->more);
		nx_buf_put_str(out, "\n");
	}
	for (const struct cli_opt *opt = cmd->opts; opt && opt->name; opt++)
		roff_opt(out, opt);
}

void cli_man(struct nx_buf *out)
{
	static const struct cli_cmd all = {.flags = CLI_SERVER | CLI_SITE | CLI_SECRET};
	const struct cli_opt *opt;

	nx_buf_put_str(out,
		".TH NARTHEX 1\n.SH NAME\nnarthex \\- storage for clinical AI\n"
		".SH SYNOPSIS\n.B narthex\n.I COMMAND\n[\\-\\-help]\n.SH COMMANDS\n");
	for (const struct cli_cmd *cmd = cli_cmds; cmd->noun; cmd++)
		roff_cmd(out, cmd);
	nx_buf_put_str(out, ".SH OPTIONS OF MANY COMMANDS\n");
	for (size_t i = 0; (opt = cli_opt_shared(&all, i)); i++)
		roff_opt(out, opt);
	nx_buf_put_str(out, ".SH EXIT STATUS\nThese do not change from release to release.\n");
	for (const struct cli_status *s = cli_statuses; s->meaning; s++) {
		nx_buf_printf(out, ".TP\n.B %d\n", s->status);
		roff(out, s->meaning);
		nx_buf_put_str(out, ".\n");
	}
	nx_buf_put_str(out, ".SH ENVIRONMENT\n");
	for (size_t i = 0; i < NX_ARRAY_LEN(environment); i++) {
		nx_buf_printf(out, ".TP\n.B %s\n", environment[i].name);
		roff(out, environment[i].meaning);
		nx_buf_put_str(out, ".\n");
	}
	nx_buf_put_str(out,
		".SH FILES\n.TP\n.I SITE/narthex.yaml\nThe configuration; see narthex config "
		"\\-\\-reference.\n.TP\n.I SITE/run/narthex.sock\nWhere commands reach a served "
		"site.\n.SH SEE ALSO\nThe pages in docs/howto of the sources.\n");
}

/* ---- completion for bash ---- */

static void completion_verbs(struct nx_buf *out, const char *noun)
{
	nx_buf_printf(out, "\t%s) words=\"", noun);
	for (const struct cli_cmd *cmd = cli_cmds; cmd->noun; cmd++) {
		if (strcmp(cmd->noun, noun) != 0)
			continue;
		if (cmd->verb)
			nx_buf_printf(out, "%s ", cmd->verb);
		for (const struct cli_opt *opt = cmd->opts; opt && opt->name; opt++)
			nx_buf_printf(out, "--%s ", opt->name);
	}
	nx_buf_put_str(out, "--site --json --help\" ;;\n");
}

void cli_completion(struct nx_buf *out)
{
	const char *last = "";

	nx_buf_put_str(out,
		"_narthex() {\n\tlocal words\n\tcase \"$COMP_CWORD:${COMP_WORDS[1]}\" "
		"in\n\t1:*) words=\"");
	for (const struct cli_cmd *cmd = cli_cmds; cmd->noun; cmd++) {
		if (strcmp(cmd->noun, last) != 0)
			nx_buf_printf(out, "%s ", cmd->noun);
		last = cmd->noun;
	}
	nx_buf_put_str(out,
		"\" ;;\n\tesac\n\t[ \"$COMP_CWORD\" -gt 1 ] && case "
		"\"${COMP_WORDS[1]}\" in\n");
	last = "";
	for (const struct cli_cmd *cmd = cli_cmds; cmd->noun; cmd++) {
		if (strcmp(cmd->noun, last) != 0)
			completion_verbs(out, cmd->noun);
		last = cmd->noun;
	}
	nx_buf_put_str(out,
		"\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -f -- "
		"\"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
		"complete -o filenames -F _narthex narthex\n");
}

/* narthex help NOUN [VERB] */
static nx_rc topic_help(const struct cli_args *args, struct nx_err *err)
{
	const char *noun = args->words[0], *verb = args->n_words > 1 ? args->words[1] : NULL;

	for (const struct cli_cmd *cmd = cli_cmds; cmd->noun; cmd++)
		if (strcmp(cmd->noun, noun) == 0 &&
			(cmd->verb && verb ? strcmp(cmd->verb, verb) == 0 : !cmd->verb && !verb)) {
			cli_cmd_help(cmd);
			return NX_OK;
		}
	if (!cli_is_noun(noun) || verb)
		return nx_err_set(err, NX_E_INVAL, "no such command: %s%s%s", noun, verb ? " " : "",
			verb ? verb : "");
	cli_help(noun);
	return NX_OK;
}

nx_rc cmd_help(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;

	nx_buf_init(&buf, NX_MIB, 0);
	if (args->n_words)
		return topic_help(args, err);
	if (cli_has(args, "man"))
		cli_man(&buf);
	else if (cli_has(args, "completion"))
		cli_completion(&buf);
	else if (cli_has(args, "tables"))
		cli_tables(&buf);
	else
		cli_help(NULL);
	return cli_print(&buf, err);
}
