// Package templates holds the fleets that `fleet init` writes: minimal, to
// start one's own with, and demo, eight machines that need no network. In
// demo/flake.nix `@tools@` stands for the folder with a static sops program,
// and vendor/ is to be filled with nixpkgs, nix-darwin, home-manager and fleet.
package templates

import "embed"

// FS has a folder per template.
//
//go:embed all:minimal all:demo
var FS embed.FS
