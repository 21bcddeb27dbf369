-- The number of the tables of schedules; there are none yet.
UPDATE offstage_counter SET batch = batch WHERE one = 1;
