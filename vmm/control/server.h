/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket's server: QMP, QEMU's machine protocol (docs/interop/qmp-spec.rst): greeting,
 * negotiation, commands with arguments and id, answers, events. What the commands do is its
 * owner's business (vmm/monitor/monitor.c); this knows connections and messages only.
 *
 * A client is not believed either: a message has at most 64 KiB and 32 levels, there are at most 16
 * clients, and at most 1 MiB waits to be sent to each; who goes beyond is cut off, who does not
 * read answers is not read either, and nobody else notices. One turn of the loop is one message.
 *
 * Thread: the one that runs the loop, for everything here. Nothing blocks.
 */
#ifndef EBB_CONTROL_SERVER_H
#define EBB_CONTROL_SERVER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/lib/loop.h"

/* Why a command failed. The class is QMP's: GenericError unless there is one that programs know. */
struct control_error {
	const char *class; /* a literal; NULL: "GenericError" */
	char text[256];	   /* one sentence for a person */
};

/* Fills in *@error with a GenericError; returns NULL, so that a command can return it. */
__attribute__((format(printf, 2, 3))) json_t *control_fail(struct control_error *error,
							   const char *format, ...);

/* The same with a class, a literal. */
__attribute__((format(printf, 3, 4))) json_t *
control_fail_as(struct control_error *error, const char *class, const char *format, ...);

struct control_command {
	const char *name;
	/*
	 * @arguments is an object (empty when the client sent none) that stays the server's.
	 * Returns what "return" is to hold, which becomes the server's, or NULL with *@error filled in (left
	 * empty: there was no memory), or NULL after control_server_defer().
	 */
	json_t *(*run)(void *ctx, const json_t *arguments, struct control_error *error);
};

struct control_server;

/*
 * Serves clients of @listener, a listening socket that becomes the server's: root's processes and those
 * of the user who calls this. @commands, ended by a name of NULL, stay their owner's and are called
 * with @ctx; qmp_capabilities, query-version and query-commands are the server's own. Returns 0 or
 * -errno, having said what is wrong, and having closed @listener.
 */
int control_server_init(struct control_server **server, struct loop *loop, int listener,
			const struct control_command *commands, void *ctx);

/*
 * From a command's run(): it is answered later. Until then its client is not read, so that answers keep
 * their order, and all others are served. Returns what to call the command by, which is never 0.
 */
uint64_t control_server_defer(struct control_server *server);

/*
 * The answer to a command that was deferred: @result, which becomes the server's, or NULL for @error
 * (NULL: there was no memory).
 * Not from a command's run(). Whether its client is still there need not be known.
 */
void control_server_answer(struct control_server *server, uint64_t command, json_t *result,
			   const struct control_error *error);

/*
 * Tells each client what it can still be told without waiting, and closes: usually after the loop has
 * ended, never from a command's run(). NULL is allowed.
 */
void control_server_release(struct control_server *server);

/*
 * Sends an event to every client past negotiation, at once: one from a command's run() precedes the
 * command's answer. @data becomes the server's; NULL: none. Events that QEMU's documentation calls
 * rate-limited (BALLOON_CHANGE) go out once a second at most, the latest one last.
 */
void control_server_event(struct control_server *server, const char *event, json_t *data);

#endif
