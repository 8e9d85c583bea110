#include "cli/cli_priv.h"

/* To add a command, add a row; nouns stay together. */

static const struct cli_opt init_opts[] = {
	{"name", "NAME", "Name of the site"},
	{"environment", "WORD", "dev, test or prod"},
	{"domain", "NAME", "A further DNS name or address for the certificate (repeatable)"},
	{"allow-ae", "AE=COLLECTION",
		"Let CALLING[:CALLED[:ADDRESS]] send into a collection (repeatable)"},
	{0},
};

static const struct cli_opt serve_opts[] = {
	{"ready-file", "FILE", "Written when the site is served: ports, CA, process"},
	{"check-config", NULL, "Check the configuration and end"},
	{0},
};

static const struct cli_opt config_opts[] = {
	{"reference", NULL, "All keys with their defaults and meaning"},
	{0},
};

static const struct cli_opt help_opts[] = {
	{"man", NULL, "The man page, in roff"},
	{"completion", NULL, "Completion for bash"},
	{0},
};

const struct cli_cmd cli_cmds[] = {
	{"init", NULL, "", "Make a site",
		"Makes keys, certificates, catalog, ledger and the collections clinical, curated "
		"and archive.\nThe administrator's token is printed once.",
		init_opts, 0, 0, CLI_SITE | CLI_SECRET, cmd_init},
	{"serve", NULL, "", "Serve a site",
		"SIGTERM ends it in order; SIGHUP reads the certificates again.", serve_opts, 0, 0,
		CLI_SITE | CLI_SECRET, cmd_serve},
	{"status", NULL, "", "What a served site holds and does", NULL, NULL, 0, 0, CLI_SERVER,
		cmd_status},
	{"config", NULL, "", "The configuration in force, or all keys", NULL, config_opts, 0, 0,
		CLI_SITE, cmd_config},
	{"version", NULL, "", "Version and implementation of cryptography", NULL, NULL, 0, 0, 0,
		cmd_version},
	{"help", NULL, "", "All commands, or the man page", NULL, help_opts, 0, 0, 0, cmd_help},
	{0},
};
