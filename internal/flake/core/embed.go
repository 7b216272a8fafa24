// Package core holds the Nix half of fleet: the modules that turn a flake's
// deferred modules, inventory and vars into machines, and into the plain data
// that package flake reads. The folder is itself a flake with lib.mkFleet,
// lib.importTree and flakeModules.default, which needs no input of its own.
package core

import "embed"

// FS has the flake, file by file, so that `fleet init` can put it beside a
// fleet that is to work without a network.
//
//go:embed *.nix fleet lib machine services
var FS embed.FS
