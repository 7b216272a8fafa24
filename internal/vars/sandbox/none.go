//go:build !linux && !darwin

package sandbox

import (
	"context"
	"errors"
	"io"
)

type Sandbox struct {
	limits Limits
	uid    int
	memory string
}

func New([]string, Limits) (*Sandbox, error) {
	return nil, errors.New("generators run on Linux and macOS only: run `fleet vars generate` there")
}

func (*Sandbox) exec(context.Context, Job, *workspace, io.Writer) (string, error) {
	return "", errors.New("generators run on Linux and macOS only")
}

func (*Sandbox) Close() error { return nil }
