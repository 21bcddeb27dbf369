// Package importing reads the schedules of other systems: crontabs, whenever's
// schedule.rb, the YAML of sidekiq-scheduler, sidekiq-cron and Solid Queue. It
// executes nothing: what it reads is text. Beside what an entry becomes it says
// where the original does not do what its author meant.
package importing
