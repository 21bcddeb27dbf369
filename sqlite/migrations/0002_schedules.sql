-- Schedules with their memory of ticks. info is the JSON of offstage.ScheduleInfo;
-- the other columns repeat what is looked for.
CREATE TABLE offstage_schedule (
    id      INTEGER PRIMARY KEY AUTOINCREMENT, -- the name of a removed one may come again
    name    TEXT    NOT NULL UNIQUE,
    version INTEGER NOT NULL, -- counts its changes: who changes it must have read this one
    look_at INTEGER,          -- when the leader is to look at it; null: not before it is changed
    ticks   INTEGER NOT NULL, -- how many were recorded, ever
    info    TEXT    NOT NULL
) STRICT;
CREATE INDEX offstage_schedule_due ON offstage_schedule (look_at, id) WHERE look_at IS NOT NULL;

-- One row per tick that was enqueued or passed over, the latest of each schedule.
CREATE TABLE offstage_tick (
    schedule INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    number   INTEGER NOT NULL, -- of the schedule's ticks, from 1
    seen_at  INTEGER NOT NULL,
    outcome  TEXT    NOT NULL,
    job      INTEGER,
    late     INTEGER NOT NULL,
    manual   INTEGER NOT NULL,
    PRIMARY KEY (schedule, at)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX offstage_tick_number ON offstage_tick (schedule, number);
