package deploy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/nix"
)

// Building says how far to go with systems that no machine is reached for.
type Building struct {
	// OutLink, if given, is the path that links to the systems begin with:
	// OUTLINK-MACHINE. They keep the systems from the garbage collector.
	OutLink string
	// EvalOnly is content with the derivation, DryRun with what building it would do.
	EvalOnly, DryRun bool
}

// Built is the system of one machine.
type Built struct {
	Result
	// Drv is its derivation, once it is evaluated.
	Drv string `json:"drv,omitempty"`
	// Link is the link to it.
	Link string `json:"link,omitempty"`
	// Forecast is what building it would do, after a dry run.
	Forecast *nix.Forecast `json:"forecast,omitempty"`
}

// WouldText says what building the system would do.
func (b Built) WouldText() string {
	var parts []string
	some := func(does string, n int, what string) {
		if n > 1 {
			what += "s"
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d %s", does, n, what))
		}
	}
	if b.Forecast != nil {
		some("build", len(b.Forecast.Build), "derivation")
		some("fetch", len(b.Forecast.Fetch), "path")
	}
	if len(parts) == 0 {
		return "do nothing: it is there"
	}
	text := strings.Join(parts, ", ")
	if b.Forecast.Download > 0 {
		text += fmt.Sprintf(" (%s)", bytesText(b.Forecast.Download))
	}
	return text
}

// Build only builds the machines' systems, here; no target is reached.
func (d *Deployer) Build(ctx context.Context, machines []Machine) *Summary {
	var results []Result
	for _, b := range d.BuildEach(ctx, machines, Building{}) {
		results = append(results, b.Result)
	}
	return d.newSummary(results)
}

// BuildEach builds the machines' systems, here, or goes as far as is asked for,
// and tells what became of each, sorted by name.
func (d *Deployer) BuildEach(ctx context.Context, machines []Machine, how Building) []Built {
	list := make([]Built, len(machines))
	each(machines, func(i int, m Machine) {
		b := &list[i]
		b.Result = Result{Machine: m.Name, Target: m.Address, State: Done}
		if err := d.buildOne(ctx, m, how, b); err != nil {
			b.Result = b.fail(ctx, Build, err)
			if b.Next == buildCommand(m.Name) { // which this is
				b.Next = ""
			}
		}
		b.Result = d.conclude(b.Result)
	})
	slices.SortFunc(list, func(a, b Built) int { return strings.Compare(a.Machine, b.Machine) })
	return list
}

func (d *Deployer) buildOne(ctx context.Context, m Machine, how Building, b *Built) error {
	m, err := d.evaluated(ctx, m)
	if err != nil {
		return err
	}
	b.Target, b.Out, b.Drv = m.Address, m.Details.Toplevel.OutPath, m.Details.Toplevel.DrvPath
	request := d.buildRequest(m.Name, b.Drv)
	switch {
	case how.EvalOnly:
		return nil
	case how.DryRun:
		b.Forecast = &nix.Forecast{Build: []string{}, Fetch: []string{}}
		request.DryRun, request.OnEvent = true, b.Forecast.Note
		return d.realise(ctx, m, b.Out, request)
	case how.OutLink != "":
		link := how.OutLink + "-" + m.Name
		if err := prepareLink(link); err != nil {
			return err
		}
		request.OutLink = link
	}
	err = d.realise(ctx, m, b.Out, request)
	if err == nil {
		b.Link = request.OutLink
	}
	return err
}

// prepareLink makes the folder of a link, and refuses what is no link: Nix would
// say so only after the build.
func prepareLink(link string) error {
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return fmt.Errorf("make the folder of its link: %w", err)
	}
	if info, err := os.Lstat(link); err == nil && info.Mode().Type() != os.ModeSymlink {
		return fmt.Errorf("%s is in the way of the link to its system: remove it, or name another place with --out-link", link)
	}
	return nil
}

// build realises the system in the local store.
func (d *Deployer) build(ctx context.Context, s Step) error {
	return d.realise(ctx, Machine{Name: s.Machine, Wave: s.Wave}, s.Wanted.OutPath, d.buildRequest(s.Machine, s.Wanted.DrvPath))
}

func (d *Deployer) buildRequest(machine, drv string) nix.BuildRequest {
	return nix.BuildRequest{Installables: []string{drv + "^*"}, OnEvent: d.nixEvents(machine, Build)}
}

func (d *Deployer) realise(ctx context.Context, m Machine, out string, request nix.BuildRequest) error {
	return d.duringOf(ctx, Build, m.Wave, func() error {
		d.emit(m.Name, Build, Started, "")
		if _, err := d.o.Nix.Build(ctx, request); err != nil {
			return buildError(err)
		}
		d.emit(m.Name, Build, Done, out)
		return nil
	})
}
