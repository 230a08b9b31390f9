/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend: a program that serves one device of a guest from a process of its own (passt,
 * virtiofsd, qemu-storage-daemon). It uses a socket, whose other end is passed to the caller; when it ends it is started
 * again, with pauses, and the caller gets the next socket. README.md tells why and how.
 *
 * Once a guest runs, ebb itself starts no program: it has given up the privileges for that. So a
 * small process, the keeper, is forked before: it starts the program, waits for its end, and has
 * nothing of the guest. When ebb ends, for whatever reason, the keeper ends, and the program with it.
 *
 *     ebb ──── control: a message for each start ──── keeper ──── child ──── program
 *      └──────────────────────── socket ─────────────────────────────────────┘
 *
 * A process that waits for its backend until another one starts it (a guest of `ebb pool --sandbox`) is given it by
 * that one, with the socket: from then on they are as if it had been started here. The keeper stays a child of the one that started it.
 *
 * Thread: start on main before any other thread runs; stop on main; wait and give on main, before the machine
 * runs; end on any; take and adopt on one thread, the worker of the device.
 */
#ifndef EBB_BACKEND_H
#define EBB_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A program's time to begin, and to answer; and its keeper's, to say why it has ended. */
#define BACKEND_READY_MS 30000
#define BACKEND_WHY_MS	 5000

/* A constant for each program. */
struct backend_program {
	const char *name;    /* of its file, which is looked for in PATH */
	const char *dirs;    /* and then in these, with colons between; or NULL */
	const char *package; /* Debian's, for the message that it is not installed */
	const char *keeper;  /* the name of the keeper's process: at most 15 bytes */
	/* Its socket listens, and ebb's end is connected to it already; otherwise both are a pair. */
	bool listens;
	/*
	 * It is ready when its first process has ended with status 0; another one serves then, and why
	 * it ends is not told. Otherwise the first one serves, and its end is told with the reason.
	 */
	bool background;
	/*
	 * At the end it is asked to end (SIGTERM) and given so long, in ms, before it is killed; 0: it
	 * keeps nothing that would be lost.
	 */
	unsigned int stop_ms;
	/*
	 * Runs in the child and does not return: becomes the program at @path, for the socket @socket, which exec(2) would
	 * close still. Standard error is read by the keeper: the last line is the reason for the end.
	 */
	void (*become)(const void *config, const char *path, int socket);
};

/* Owner: the device. */
struct backend {
	int control;	      /* to the keeper; readable: backend_take(); -1: none */
	pid_t keeper;	      /* 0: none */
	int pidfd;	      /* the keeper's, if there is one */
	unsigned int stop_ms; /* the program's */
	atomic_uint serial;   /* of the latest socket taken */
};

#define BACKEND_WHY_SIZE 200

/*
 * Starts the keeper, which starts @program with a copy of what @config points at. Returns the first
 * socket, the caller's, or -errno with @why (BACKEND_WHY_SIZE bytes) set to the
 * reason. Waits up to 35 seconds, until the program runs; one that is not .background may still end at
 * once: then the next backend_take() tells why.
 */
int backend_start(struct backend *backend, const struct backend_program *program,
		  const void *config, char *why);
/* Ends the keeper and the program. Accepts a zeroed struct. */
void backend_stop(struct backend *backend);

/*
 * Returns the next socket, as backend_start(); -EAGAIN if there is none yet; -ENOMSG if the program
 * has ended or could not be started, and the keeper tries again, with @why (BACKEND_WHY_SIZE bytes)
 * set; or -EPIPE if the keeper has ended.
 */
int backend_take(struct backend *backend, char *why);
/*
 * As backend_take(), but waits up to @ms milliseconds for a message, or returns -EINTR if a signal
 * waits that asks for the end (end_signal_waits()).
 */
int backend_wait(struct backend *backend, char *why, int ms);
/* Ends the program of the latest socket taken; the keeper then starts another one. */
void backend_end(struct backend *backend);

/*
 * Gives the backend away by the socket @to (SOCK_SEQPACKET), with @socket, its program's, which stays the caller's; so does
 * the wait for the keeper's end: backend_stop(), after the end of the one that has it. Returns 0 or -errno.
 */
int backend_give(struct backend *backend, int socket, int to);
/*
 * Takes a backend that was given away, at the other end of that socket. Returns its program's socket, the caller's from now on, -EAGAIN
 * if none has come yet, -EPIPE if none comes any more, or -EPROTO for a message that is none.
 */
int backend_adopt(struct backend *backend, int from);

/* For a become(): lets @socket through exec(2), runs @argv, which ends with NULL; or tells why not. */
_Noreturn void backend_exec(const char *path, const char *const *argv, int socket);
/* For a become(): ends the child with the reason: errno came when it tried to @what. */
_Noreturn void backend_fail(const char *what);

/* Messages between backend.c and keeper.c. */
struct backend_message {
	uint32_t serial;
	int32_t error;		    /* 0: a socket comes with it */
	char why[BACKEND_WHY_SIZE]; /* one line */
};
/* The keeper's process. */
_Noreturn void backend_keep(const struct backend_program *program, const void *config, int control);

/*
 * Shared by keeper.c and launch.c. launch() makes a child, which becomes @program at @path and writes
 * to @errors. Returns ebb's socket to it, with *@child set, or -1 with errno set.
 */
int backend_launch(const struct backend_program *program, const char *path, const void *config,
		   int errors, pid_t *child);
/* Finds the file of @program. @path has PATH_MAX bytes. */
bool backend_find(const struct backend_program *program, char *path);

#endif
