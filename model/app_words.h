/*
 * app_words: the words of an app document that stand for enums of the wire. Reader and writer share
 * them; the order is the enum's.
 */
#pragma once

#include "base/units.h"
#include "base/wire/messages.h"

#define APP_READY_COUNT (READY_COMMAND + 1)
extern const char *const app_ready_words[APP_READY_COUNT];
