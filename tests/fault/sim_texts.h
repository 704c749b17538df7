/* The world and the app of the simulation, as people would write them. */
#pragma once

extern const char *const sim_world_text;
extern const char *const sim_app_text;
