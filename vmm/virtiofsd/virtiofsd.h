/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtiofsd for one folder of a guest: the program that serves it, by vhost-user. It runs as a
 * separate process and uses a socket, whose other end is passed to the caller; when it ends it is
 * started again, with pauses, and the caller gets the next socket. README.md tells how.
 *
 * As passt (vmm/passt/passt.h) it is started by a small process that was forked before the guest
 * ran, its keeper, because ebb itself starts no program then.
 *
 * Thread: start on main before any other thread runs; stop on main; end on any; take on one thread,
 * the worker of the device.
 */
#ifndef EBB_VIRTIOFSD_H
#define EBB_VIRTIOFSD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct virtiofsd_config {
	const char *dir; /* absolute */
	bool read_only;
};

struct virtiofsd {
	int control;	    /* to the keeper; readable: virtiofsd_take(); -1: none */
	int pidfd;	    /* the keeper's, if there is one */
	pid_t keeper;	    /* 0: none */
	atomic_uint serial; /* of the latest socket taken */
};

#define VIRTIOFSD_WHY_SIZE 200

/*
 * Starts the keeper, which starts virtiofsd. Returns the first socket, non-blocking and the
 * caller's, or -errno after an error message. virtiofsd may still end at once: then the next
 * virtiofsd_take() tells why.
 */
int virtiofsd_start(struct virtiofsd *server, const struct virtiofsd_config *config);
/* Ends the keeper and virtiofsd. Accepts a zeroed struct. */
void virtiofsd_stop(struct virtiofsd *server);

/*
 * Returns the next socket, as virtiofsd_start(); -EAGAIN if there is none yet; -ENOMSG if virtiofsd
 * has ended or could not be started, with @why (VIRTIOFSD_WHY_SIZE bytes) set; or -EPIPE if the keeper has
 * ended.
 */
int virtiofsd_take(struct virtiofsd *server, char *why);
/*
 * As virtiofsd_take(), but waits up to @ms milliseconds for a message, or returns -EINTR if a signal
 * waits (signal_waits()). Main, before the machine runs.
 */
int virtiofsd_wait(struct virtiofsd *server, char *why, int ms);
/* Ends the virtiofsd of the latest socket taken; the keeper then starts another one. */
void virtiofsd_end(struct virtiofsd *server);

/* Messages between virtiofsd.c and keeper.c. */
struct virtiofsd_message {
	uint32_t serial;
	int32_t error;		      /* 0: a socket comes with it */
	char why[VIRTIOFSD_WHY_SIZE]; /* one line */
};

/* There are two programs of this name: QEMU's, up to QEMU 7.2, in C, and its successor, in Rust. */
enum virtiofsd_kind { VIRTIOFSD_C, VIRTIOFSD_RUST };

#define VIRTIOFSD_ARGUMENTS_MAX 16
struct virtiofsd_arguments {
	char fd[32], source[4096 + 16];
	const char *argv[VIRTIOFSD_ARGUMENTS_MAX]; /* ends with NULL */
};
/* Fills in the command line for the listening socket @fd. @limited: the process may not raise its limits. */
void virtiofsd_arguments(struct virtiofsd_arguments *arguments, enum virtiofsd_kind kind,
			 const struct virtiofsd_config *config, int fd, bool limited);
/* Returns the kind of the program whose --help prints @help. */
enum virtiofsd_kind virtiofsd_kind_of(const char *help);

/* The keeper's process. */
_Noreturn void virtiofsd_keep(const struct virtiofsd_config *config, int control);
/* The child of it that becomes virtiofsd at @program, for the listening socket @fd. */
_Noreturn void virtiofsd_become(const struct virtiofsd_config *config, const char *program,
				enum virtiofsd_kind kind, int fd, int errors);

#endif
