package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"time"

	"filippo.io/age/plugin"
	"github.com/google/shlex"
)

const (
	// helperTimeout bounds a key command or an age plugin: long enough for a
	// finger on a security token.
	helperTimeout = 2 * time.Minute
	// maxKeyOutput bounds what a key command may print.
	maxKeyOutput = 1 << 20
)

// runKeyCommand runs the command of SOPS_AGE_KEY_CMD, split into words as sops
// splits it, without a shell. Neither the command nor what it prints becomes
// part of an error: both may hold the key.
func runKeyCommand(ctx context.Context, command string, environ []string) ([]byte, error) {
	args, err := shlex.Split(command)
	if err != nil {
		return nil, errors.New("it cannot be split into words")
	}
	if len(args) == 0 {
		return nil, errors.New("it is empty")
	}
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	var output limitedBuffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append([]string{}, environ...) // never nil, which would mean our own
	cmd.Stdout = &output
	// It stays in our process group, so that it can ask on the terminal.
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	exit := (*exec.ExitError)(nil)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("it was stopped: %w", context.Cause(ctx))
	case output.full: // it may have died of that
		return nil, errTooMuch
	case errors.Is(err, exec.ErrWaitDelay): // it ended well and left an agent behind
		return output.buffer.Bytes(), nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("there is no such program")
	case errors.As(err, &exit):
		return nil, errors.New(exit.String())
	case err != nil:
		return nil, errors.New("it cannot be started")
	}
	return output.buffer.Bytes(), nil
}

var errTooMuch = errors.New("it printed too much for a key")

// limitedBuffer refuses to grow beyond what a key can be. It does not embed the
// buffer, whose ReadFrom would go past the limit.
type limitedBuffer struct {
	buffer bytes.Buffer
	full   bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.buffer.Len()+len(p) > maxKeyOutput {
		b.full = true
		return 0, errTooMuch
	}
	return b.buffer.Write(p)
}

// silentPluginUI lets an age plugin show its messages to nobody and refuses its
// questions, so that no command waits for an answer that cannot come.
func silentPluginUI() *plugin.ClientUI {
	refuse := errors.New("fleet does not ask on behalf of age plugins")
	return &plugin.ClientUI{
		DisplayMessage: func(string, string) error { return nil },
		RequestValue:   func(string, string, bool) (string, error) { return "", refuse },
		Confirm:        func(string, string, string, string) (bool, error) { return false, refuse },
	}
}

// bounded runs a call into an age plugin, which knows no context, and stops
// waiting for it in time. The plugin ends by itself when fleet does, because its
// standard input is closed then.
func bounded[T any](ctx context.Context, call func() (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := call()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("the age plugin did not answer: %w", context.Cause(ctx))
	}
}
