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

void cli_help(void)
{
	char text[TITLE_LEN];

	(void)printf("narthex: storage for clinical AI\n\nnarthex COMMAND [--help]\n\n");
	for (const struct cli_cmd *cmd = cli_cmds; cmd->noun; cmd++)
		(void)printf("  %-*s  %s\n", COLUMN + 12, title(cmd, text), cmd->help);
	(void)printf(
		"\nExit status: 0 done, 1 failed, 2 usage, 3 not found, 4 denied, 5 integrity,\n"
		"6 unreachable, 7 conflict, 8 busy.\n");
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
	nx_buf_put_str(out,
		".SH EXIT STATUS\n0 done, 1 failed, 2 usage, 3 not found, 4 denied, "
		"5 integrity, 6 unreachable, 7 conflict, 8 busy.\n"
		".SH ENVIRONMENT\n.TP\n.B NARTHEX_SITE\nThe site.\n.TP\n.B NARTHEX_TOKEN\n"
		"Bearer token for \\-\\-url.\n.TP\n.B NARTHEX_PASSPHRASE\n"
		"Passphrase of the key store; a file or a systemd credential is better.\n");
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

nx_rc cmd_help(const struct cli_args *args, struct nx_err *err)
{
	NX_AUTO_DONE(nx_buf) buf;

	nx_buf_init(&buf, NX_MIB, 0);
	if (cli_has(args, "man"))
		cli_man(&buf);
	else if (cli_has(args, "completion"))
		cli_completion(&buf);
	else
		cli_help();
	return cli_print(&buf, err);
}
