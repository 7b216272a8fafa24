package deploy

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/crs58/fleet/internal/flake"
)

//go:embed script/consent.sh
var consentScript string

// consent makes sure, before anything is changed, that macOS lets an activation
// which comes over SSH do all that it is to do. A system's own checks say so only
// when it is activated, at length.
func (w *way) consent(ctx context.Context) error {
	if w.s.Class != flake.Darwin || addressOf(w.t).Kind != SSH {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, w.d.o.Timeouts.Reach)
	defer cancel()
	var refused tail
	code, err := ask(bounded, w.t, []string{"/bin/sh", "-c", consentScript, "fleet", w.s.Wanted.OutPath}, refused.add)
	switch {
	case err != nil:
		return fmt.Errorf("ask %s what its privacy settings allow: %w", w.t, err)
	case code != 0:
		return fmt.Errorf("%s lets nobody who comes over SSH %s: turn on \"Allow full disk access for remote users\" there, in System Settings > General > Sharing, behind the i of Remote Login; nothing was changed",
			w.t, refused.String())
	}
	return nil
}
