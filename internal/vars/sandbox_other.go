//go:build !linux && !darwin

package vars

import (
	"context"
	"errors"
	"io"
)

type sandbox struct {
	limits Limits
	uid    int
	memory string
}

func newSandbox([]string, Limits) (*sandbox, error) {
	return nil, errors.New("generators run on Linux and macOS only: run `fleet vars generate` there")
}

func (*sandbox) exec(context.Context, job, *workspace, io.Writer) (string, error) {
	return "", errors.New("generators run on Linux and macOS only")
}

func (*sandbox) close() error { return nil }
