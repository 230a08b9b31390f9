/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `ebb sandbox` on the host and its agent, the first program in the guest, say to each other.
 * Both include this file, and are of the same build; numbers are in the order of bytes that the
 * machine has, which is the guest's, too.
 *
 * The agent connects to the host by vsock, once for each stream: to AGENT_PORT + its number. So each
 * has its own flow control, ends by itself, and needs no frames; only the control stream has some. On
 * it the host sends one struct agent_command, with the records that follow it, then any number of
 * struct agent_event; the agent sends one struct agent_report, when the command has ended and all that
 * it wrote is on its way. When the host closes the control stream the agent powers off.
 */
#ifndef EBB_AGENT_WIRE_H
#define EBB_AGENT_WIRE_H

#include <stdint.h>

#define AGENT_PORT 1000
#define AGENT_TAG  "ebb" /* of the folder with AGENT_ROOT and AGENT_DIRS in it */
#define AGENT_ROOT "root"
#define AGENT_DIRS "dirs" /* dirs/0 is the first of AGENT_DIR and AGENT_LAYERED_DIR */

enum agent_stream {
	AGENT_CONTROL,
	AGENT_INPUT,
	AGENT_OUTPUT,
	AGENT_ERRORS, /* not if the terminal has them */
	AGENT_STREAMS,
};

#define AGENT_MAGIC 0x31626265U /* "ebb1" */
/* Linux starts no program whose arguments and environment take more than 6 MiB. */
#define AGENT_RECORDS_MAX (UINT32_C(8) << 20)

/* What of the command's standard streams is a terminal: the user's. */
enum agent_terminal { AGENT_PIPES, AGENT_TERMINAL, AGENT_TERMINAL_BUT_ERRORS };

struct agent_command {
	uint32_t magic;
	uint32_t size;		/* of the records, in bytes */
	uint32_t terminal;	/* enum agent_terminal */
	uint16_t rows, columns; /* of the terminal */
	uint32_t network;	/* ask for an address */
};

/* Each record is one of these bytes, text, and a 0. */
enum agent_record {
	AGENT_ARGUMENT = 'A',	 /* of the command: the first is its name */
	AGENT_ENVIRONMENT = 'E', /* NAME=VALUE */
	AGENT_FOLDER = 'W',	 /* where the command starts */
	AGENT_DIR = 'D',	 /* where the next folder of AGENT_DIRS is seen */
	AGENT_LAYERED_DIR = 'L', /* likewise, with a private layer over it */
};

enum agent_event_kind { AGENT_SIGNAL = 1, AGENT_SIZE };

struct agent_event {
	uint16_t kind;
	uint16_t signal;
	uint16_t rows, columns;
};

enum agent_report_kind {
	AGENT_EXITED = 1, /* value: the status */
	AGENT_KILLED,	  /* the signal */
	AGENT_NOT_RUN,	  /* errno of execve(2) */
	AGENT_FAILED,	  /* errno; the reason is on the guest's console */
};

struct agent_report {
	uint32_t kind;
	uint32_t value;
};

#endif
