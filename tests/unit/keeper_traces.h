/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the six guests of configs/overcommit/ci.toml wanted, recorded without a keeper. Made by
 * `tests/overcommit/trace build/overcommit/ci/none.jsonl`.
 */
#ifndef EBB_TESTS_UNIT_KEEPER_TRACES_H
#define EBB_TESTS_UNIT_KEEPER_TRACES_H

#include "tests/unit/keeper_sim.h"

static const struct sim_point trace0[] = {
	{0, 0, 0},     {1, 30, 0},    {2, 34, 163},  {3, 87, 163},  {9, 76, 163},
	{12, 65, 163}, {14, 57, 163}, {17, 47, 163}, {21, 38, 163}, {30, 30, 163},
};
static const struct sim_point trace1[] = {
	{0, 0, 0},     {13, 30, 0},   {14, 34, 163}, {15, 87, 163}, {21, 76, 163},
	{23, 68, 163}, {24, 60, 163}, {27, 49, 163}, {31, 40, 163}, {37, 32, 163},
};
static const struct sim_point trace2[] = {
	{0, 0, 0},     {25, 32, 25},  {27, 49, 163}, {28, 86, 163}, {33, 78, 163},
	{35, 70, 163}, {37, 62, 163}, {38, 51, 163}, {43, 43, 163}, {48, 35, 163},
};
static const struct sim_point trace3[] = {
	{0, 0, 0},     {39, 32, 56},  {41, 33, 110}, {42, 57, 163}, {43, 86, 163}, {46, 78, 163},
	{51, 69, 163}, {52, 61, 163}, {54, 53, 163}, {58, 44, 163}, {62, 36, 163},
};
static const struct sim_point trace4[] = {
	{0, 0, 0},     {53, 35, 77},  {54, 32, 153}, {56, 119, 163}, {57, 79, 163}, {58, 91, 163},
	{59, 78, 163}, {65, 68, 163}, {66, 60, 163}, {70, 49, 163},  {74, 40, 163}, {80, 32, 163},
};
static const struct sim_point trace5[] = {
	{0, 0, 0},     {67, 30, 0},   {68, 35, 100}, {69, 53, 163}, {70, 119, 163},
	{71, 78, 163}, {72, 87, 163}, {74, 78, 163}, {79, 69, 163}, {82, 58, 163},
	{84, 50, 163}, {88, 41, 163}, {94, 33, 163},
};
#define TRACES	      6
#define TRACE_SECONDS 104
static const struct sim_trace traces[TRACES] = {
	{trace0, sizeof(trace0) / sizeof(trace0[0]), TRACE_SECONDS},
	{trace1, sizeof(trace1) / sizeof(trace1[0]), TRACE_SECONDS},
	{trace2, sizeof(trace2) / sizeof(trace2[0]), TRACE_SECONDS},
	{trace3, sizeof(trace3) / sizeof(trace3[0]), TRACE_SECONDS},
	{trace4, sizeof(trace4) / sizeof(trace4[0]), TRACE_SECONDS},
	{trace5, sizeof(trace5) / sizeof(trace5[0]), TRACE_SECONDS},
};

#endif
