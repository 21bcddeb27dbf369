package rivals

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/offstagehq/offstage/bench/agent"
)

// asynqSystem is asynq, on Redis.
type asynqSystem struct {
	redis     asynq.RedisConnOpt
	client    *asynq.Client
	inspector *asynq.Inspector
	config    asynq.Config
	queues    []string
	named     string // the settings
	server    *asynq.Server
}

// OpenAsynq opens asynq at the best settings found.
func OpenAsynq(_ context.Context, env agent.Env) (agent.System, error) {
	return openAsynq(env, asynq.Config{Concurrency: 32, TaskCheckInterval: 5 * time.Millisecond},
		"Concurrency 32, TaskCheckInterval 5 ms")
}

// OpenAsynqDefaults opens asynq as it comes.
func OpenAsynqDefaults(_ context.Context, env agent.Env) (agent.System, error) {
	return openAsynq(env, asynq.Config{}, "all default: Concurrency is the number of CPUs, TaskCheckInterval 1 s")
}

func openAsynq(env agent.Env, config asynq.Config, named string) (agent.System, error) {
	redis, err := asynq.ParseRedisURI(env.URL)
	if err != nil {
		return nil, err
	}
	config.LogLevel = asynq.FatalLevel
	config.Queues = map[string]int{"default": 1}
	for _, queue := range env.Queues {
		config.Queues[queue] = 1
	}
	return &asynqSystem{
		redis: redis, client: asynq.NewClient(redis), inspector: asynq.NewInspector(redis), config: config,
		queues: append([]string{"default"}, env.Queues...), named: named,
	}, nil
}

// Settings says what was set.
func (s *asynqSystem) Settings() string {
	return version("github.com/hibiken/asynq") + ", " + s.named + "; one call for each job; ended jobs are deleted"
}

// Insert enqueues jobs one by one: asynq has no call for many.
func (s *asynqSystem) Insert(ctx context.Context, jobs []agent.Job) error {
	for i := range jobs {
		text, err := json.Marshal(payload{At: jobs[i].At, Pad: pad, Key: jobs[i].Key})
		if err != nil {
			return err
		}
		var options []asynq.Option
		if jobs[i].Queue != "" {
			options = append(options, asynq.Queue(jobs[i].Queue))
		}
		if jobs[i].Delay > 0 {
			options = append(options, asynq.ProcessIn(jobs[i].Delay))
		}
		if jobs[i].Key != "" {
			options = append(options, asynq.Unique(time.Hour))
		}
		if _, err := s.client.EnqueueContext(ctx, asynq.NewTask("ping", text), options...); err != nil {
			return err
		}
	}
	return nil
}

// Start starts a server.
func (s *asynqSystem) Start(_ context.Context, tally *agent.Tally) error {
	s.server = asynq.NewServer(s.redis, s.config)
	mux := asynq.NewServeMux()
	mux.HandleFunc("ping", func(ctx context.Context, task *asynq.Task) error {
		var args payload
		if err := json.Unmarshal(task.Payload(), &args); err != nil {
			return err
		}
		return tally.Handle(ctx, args.At)
	})
	return s.server.Start(mux)
}

// Stop stops the server.
func (s *asynqSystem) Stop(context.Context) error {
	s.server.Shutdown()
	return nil
}

// Left asks for the numbers of pending and active tasks.
func (s *asynqSystem) Left(context.Context) (bool, error) {
	known, err := s.inspector.Queues()
	if err != nil {
		return false, err
	}
	for _, queue := range known {
		info, err := s.inspector.GetQueueInfo(queue)
		if err != nil {
			return false, fmt.Errorf("queue %s: %w", queue, err)
		}
		if info.Pending+info.Active > 0 {
			return true, nil
		}
	}
	return false, nil
}

// Close closes the connections.
func (s *asynqSystem) Close() error {
	_ = s.inspector.Close()
	return s.client.Close()
}
