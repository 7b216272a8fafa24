//go:build !linux

package vars

import (
	"context"
	"errors"
)

type sandbox struct{}

func newSandbox([]string, Limits) (*sandbox, error) {
	return nil, errors.New("generators run on Linux only so far: run `fleet vars generate` on a Linux machine")
}

func (*sandbox) run(context.Context, job) (map[string][]byte, error) {
	return nil, errors.New("generators run on Linux only so far")
}
