# Recursion through a fixed point; needs nothing of the rest of lib.
rec {
  fix =
    f:
    let
      self = f self;
    in
    self;

  # fix that remembers the function it came from, so that it can be extended.
  fix' =
    f:
    let
      self = f self // {
        __unfix__ = f;
      };
    in
    self;

  # Applies f until the value no longer changes.
  converge =
    f: x:
    let
      next = f x;
    in
    if next == x then x else converge f next;

  # An overlay is `final: prev: { … }`.
  extends =
    overlay: f: final:
    let
      prev = f final;
    in
    prev // overlay final prev;

  composeExtensions =
    first: second: final: prev:
    let
      one = first final prev;
    in
    one // second final (prev // one);

  composeManyExtensions = builtins.foldl' composeExtensions (_: _: { });

  toExtension =
    f:
    if !builtins.isFunction f then
      _: _: f
    else
      final: prev:
      let
        once = f prev;
      in
      if builtins.isFunction once then f final prev else once;

  makeExtensible = makeExtensibleWithCustomName "extend";

  makeExtensibleWithCustomName =
    name: f:
    fix' (
      self:
      f self
      // {
        ${name} = overlay: makeExtensibleWithCustomName name (extends overlay f);
      }
    );
}
