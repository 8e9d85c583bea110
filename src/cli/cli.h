/*
 * cli.h - the command line: everything is printed from one table of commands.
 *
 * Layer:   5 (cli).
 * Threads: one, except where a command says otherwise.
 * PHI:     what a command was asked for goes to standard output; nothing of it to standard error.
 */
#ifndef NX_CLI_CLI_H
#define NX_CLI_CLI_H

/* The exit status of the process. */
int nx_cli_main(int argc, char **argv);

#endif
