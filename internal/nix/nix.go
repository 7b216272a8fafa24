package nix

import (
	"context"
	"encoding/json"
)

// Executor does what the program needs of Nix. [CLI] is the real one; package
// nixtest records it and plays it back.
type Executor interface {
	// Version is the version of Nix, such as "2.26.3". It is an error when Nix
	// is missing (ErrNixMissing) or older than MinVersion (*TooOldError).
	Version(ctx context.Context) (string, error)
	// Metadata resolves and locks a flake reference.
	Metadata(ctx context.Context, ref string) (*Metadata, error)
	// Eval evaluates and decodes the JSON of the result into v.
	Eval(ctx context.Context, req EvalRequest, v any) error
	// Build builds the installables. When any fails the error is an *Error
	// whose Failures name the derivations, and there are no results.
	Build(ctx context.Context, req BuildRequest) ([]BuildResult, error)
	// PathInfo asks a store ("" is the default one) about paths. Paths that
	// the store has not are absent from the map.
	PathInfo(ctx context.Context, store string, paths ...string) (map[string]PathInfo, error)
	// Closure asks a store about a path and all that it needs. The map is empty if
	// the store has not got the path.
	Closure(ctx context.Context, store, path string) (map[string]PathInfo, error)
	// Copy copies paths with their closures between stores.
	Copy(ctx context.Context, req CopyRequest) error
}

// EvalRequest is one evaluation. Either Installable ("REF#ATTR") or Expr is
// given; with both, Installable is an attribute path of the expression.
type EvalRequest struct {
	Installable string
	Expr        string
	// Apply is a function in Nix that is applied to the value.
	Apply string
	// Args are further arguments, such as "--argstr", "name", "value" or "--impure".
	Args []string
	// OnEvent is told, on one goroutine, what Nix does; it may be nil.
	OnEvent func(Event) `json:"-"`
}

// BuildRequest is one build: of flake installables ("REF#ATTR"), or of
// derivations ("/nix/store/….drv^*") that an evaluation has returned.
type BuildRequest struct {
	Installables []string
	// Store is the store to build in; empty is the default one.
	Store string
	// OutLink is the symlink to make, which also keeps the result from the
	// garbage collector; empty makes none.
	OutLink string
	// DryRun only asks what the outputs would be.
	DryRun bool
	// KeepGoing builds what can be built when something else has failed.
	KeepGoing bool
	// Args are further arguments of nix build.
	Args    []string
	OnEvent func(Event) `json:"-"`
}

// BuildResult is a built derivation with its outputs by name.
type BuildResult struct {
	DrvPath string            `json:"drvPath"`
	Outputs map[string]string `json:"outputs"`
}

// CopyRequest copies Paths and their closures From one store To another; an
// empty store is the default one. Stores are URIs as Nix has them: a folder
// ("/path"), "local?root=/path", "unix:///path/to/socket", "ssh-ng://host".
type CopyRequest struct {
	From, To string
	Paths    []string
	// NoCheckSigs lets paths pass that no trusted key has signed.
	NoCheckSigs bool
	// SubstituteOnDestination lets the destination fetch from its own caches.
	SubstituteOnDestination bool
	OnEvent                 func(Event) `json:"-"`
}

// PathInfo is what a store knows about a path.
type PathInfo struct {
	NarHash    string   `json:"narHash"`
	NarSize    int64    `json:"narSize"`
	References []string `json:"references"`
}

// Metadata is what Nix says of a flake without evaluating its outputs.
type Metadata struct {
	// Path is the source in the store; positions in errors lie below it.
	Path        string `json:"path"`
	URL         string `json:"url"`
	OriginalURL string `json:"originalUrl"`
	ResolvedURL string `json:"resolvedUrl"`
	// Revision is the commit of a clean tree, DirtyRevision that below a dirty one.
	Revision      string `json:"revision,omitempty"`
	DirtyRevision string `json:"dirtyRevision,omitempty"`
	// Fingerprint is Nix's own; it has none for a dirty tree.
	Fingerprint  string `json:"fingerprint,omitempty"`
	LastModified int64  `json:"lastModified,omitempty"`
	// NarHash is the hash of the source's content.
	NarHash string `json:"narHash,omitempty"`
	// Locked is the locked reference as Nix prints it.
	Locked json.RawMessage `json:"locked,omitempty"`
}
