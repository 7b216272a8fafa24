package vars

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/crs58/fleet/internal/repository"
)

// ChangeOptions is how keys are changed, and secrets without a generator. These
// calls need of the Fleet only Root, Layout, Identities and Env: they work while
// nothing evaluates.
type ChangeOptions struct {
	Limits Limits
	// DryRun says what would be done and does nothing.
	DryRun bool
	// Commit makes one git commit of exactly the files that were written.
	Commit bool
	Now    func() time.Time
}

// change is what is to be written, all at once.
type change struct {
	repo    *repository.Repository
	files   []repository.File
	message string // of the commit
	// keep is called before anything is written; it may be nil.
	keep func() error
	// recovered says what an interrupted run had left.
	recovered string
}

// paths are the files written or removed, sorted.
func (c *change) paths() []string {
	paths := []string{}
	for _, file := range c.files {
		paths = append(paths, file.Path)
	}
	slices.Sort(paths)
	return paths
}

// apply has a change planned under the lock and makes it in one transaction. In
// a dry run it is only planned. placed is as for [repository.Transaction.Apply].
func (f *Fleet) apply(ctx context.Context, o ChangeOptions, c *change, plan func() error) (placed bool, err error) {
	if c.repo, err = repository.Open(ctx, f.Root, f.Env); err != nil {
		return false, err
	}
	if o.DryRun {
		err := plan()
		return err == nil, err
	}
	t, err := c.repo.Begin(ctx, o.Limits.withDefaults().Lock, nil)
	if err != nil {
		return false, err
	}
	defer t.Close()
	c.recovered = t.Recovered
	if err := plan(); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("interrupted, so nothing was changed: %w", err)
	}
	if c.keep != nil {
		if err := c.keep(); err != nil {
			return false, fmt.Errorf("nothing was changed: %w", err)
		}
	}
	message := ""
	if o.Commit {
		message = c.message
	}
	return t.Apply(c.files, message)
}
