package vars

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/crs58/fleet/internal/vars/builtin"
)

// builtin makes the files of a generator that needs no script.
func (r *run) builtin(ctx context.Context, step Step, n *Node) (map[string][]byte, error) {
	inputs, err := r.inputs(ctx, n)
	if err != nil {
		return nil, err
	}
	maker, err := builtin.Parse(n.Def.Builtin)
	if err != nil {
		return nil, fmt.Errorf("generator %s: %w", n.ID, err)
	}
	with := builtin.Material{Inputs: inputs, Random: rand.Reader, Now: r.opts.Now()}
	if step.From != "" {
		if with.Source, err = r.open(ctx, n, step.From); err != nil {
			return nil, fmt.Errorf("generator %s makes %s from %s: %w", n.ID, strings.Join(step.Missing, ", "), step.From, err)
		}
	}
	files, err := maker.Make(with)
	if err != nil && with.Source != nil {
		err = fmt.Errorf("the %s that is there: %w", step.From, err)
	}
	if err != nil {
		return nil, fmt.Errorf("generator %s: %w", n.ID, err)
	}
	return files, nil
}
