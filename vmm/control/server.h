/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket's server: QMP, QEMU's machine protocol (docs/interop/qmp-spec.rst): greeting,
 * negotiation, commands with arguments and id, answers, events. The commands belong to its
 * owner (vmm/monitor/monitor.c); this file knows only connections and messages.
 *
 * Clients are not trusted: a message has at most 64 KiB and 32 levels, there are at most 16
 * clients of each door, and at most 1 MiB waits to be sent to each. A client beyond these limits is cut off;
 * while a client does not read its answers, its commands are not read; other clients are not
 * affected. One turn of the loop handles one message.
 *
 * Thread: the one that runs the loop, for everything here. Nothing blocks.
 */
#ifndef EBB_CONTROL_SERVER_H
#define EBB_CONTROL_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/lib/loop.h"

/* A command's error. The class is QMP's: GenericError unless programs know a more specific one. */
struct control_error {
	const char *class; /* a literal; NULL: "GenericError" */
	char text[256];	   /* one sentence for a person */
};

/* Sets *@error to a GenericError. Returns NULL, for a command to return. */
__attribute__((format(printf, 2, 3))) json_t *control_fail(struct control_error *error,
							   const char *format, ...);

/* The same with a class, a literal. */
__attribute__((format(printf, 3, 4))) json_t *
control_fail_as(struct control_error *error, const char *class, const char *format, ...);

/* What a command does to the guest. Without a word it counts as one that acts. */
enum control_effect {
	CONTROL_UNSAID,
	CONTROL_READS, /* it tells of the guest what an exporter may know, and changes nothing */
	CONTROL_ACTS,
};

struct control_command {
	const char *name;
	enum control_effect effect;
	/*
	 * @arguments is an object (empty if the client sent none), which the server keeps. Returns
	 * the value of "return", whose reference the server takes; or NULL with *@error set (empty:
	 * out of memory); or NULL after control_server_defer().
	 */
	json_t *(*run)(void *ctx, const json_t *arguments, struct control_error *error);
};

struct control_server;

/*
 * Serves clients of the listening socket @listener, which the server takes over: processes of root
 * and of the calling user. @directory is a descriptor of the one that the socket's name is in, which
 * stays the caller's. @commands ends with a name of NULL and must outlive the server; they are
 * called with @ctx. qmp_capabilities, query-version and query-commands are the server's own.
 * Returns 0, or -errno after an error message, with @listener closed.
 */
int control_server_init(struct control_server **server, struct loop *loop, int listener,
			int directory, const struct control_command *commands, void *ctx);

#define CONTROL_DOORS	 2
#define CONTROL_NO_GROUP ((gid_t)-1)

/* A way in. */
struct control_door {
	int listener; /* a listening socket, which the server takes over */
	int guard; /* descriptor of a directory or file whose mode keeps others out; the caller's */
	gid_t group;	 /* whose members may come in, too, or CONTROL_NO_GROUP */
	bool reads_only; /* commands that act are refused */
};

/*
 * Adds a door to the server's own. Its clients have their own places. Returns 0, or -errno after an
 * error message, with the listener closed.
 */
int control_server_add_door(struct control_server *server, const struct control_door *door);

/*
 * Called from a command's run(), to answer it later. Until then nothing is read from its client, so
 * that answers keep their order; the others are served. Returns an id for the command, which is
 * never 0.
 */
uint64_t control_server_defer(struct control_server *server);

/* Called from a command's run(). Returns whether its client came in by a door that only reads. */
bool control_server_only_reads(const struct control_server *server);

/*
 * Called from a command's run(). Returns the descriptor that its client sent with it (SCM_RIGHTS), the caller's from
 * now on, or -1. One that no command takes is closed.
 */
int control_server_take_descriptor(struct control_server *server);

/*
 * Answers a command that was deferred with @result, whose reference the server takes, or, if that
 * is NULL, with @error (NULL: out of memory). Do not call it from a command's run(). The client may
 * be gone already.
 */
void control_server_answer(struct control_server *server, uint64_t command, json_t *result,
			   const struct control_error *error);

/*
 * Sends each client as much as its socket takes at once, and closes. Usually called after the loop
 * has ended, never from a command's run(). NULL is allowed.
 */
void control_server_release(struct control_server *server);

/*
 * Sends an event at once to every client past negotiation: one sent from a command's run() precedes
 * the command's answer. The server takes the reference @data (NULL: none). Events that QEMU's
 * documentation calls rate-limited (BALLOON_CHANGE) go out once a second at most, the latest one
 * last.
 */
void control_server_event(struct control_server *server, const char *event, json_t *data);

#endif
