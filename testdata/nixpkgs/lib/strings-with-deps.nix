# Texts that come after other texts, as activation scripts of NixOS do.
{ lib }:
rec {
  # The texts of `names` and of all they depend on, each once, in order.
  textClosureList =
    predefined: names:
    let
      add =
        done: entry:
        if builtins.isAttrs entry then
          done // { texts = done.texts ++ [ (entry.text or "") ]; }
        else if done.seen ? ${entry} then
          done
        else
          let
            e = predefined.${entry};
            seen = done.seen // {
              ${entry} = true;
            };
            below = builtins.foldl' add (done // { inherit seen; }) (e.deps or [ ]);
          in
          below // { texts = below.texts ++ [ (e.text or "") ]; };
    in
    (builtins.foldl' add {
      seen = { };
      texts = [ ];
    } names).texts;
  textClosureMap =
    f: predefined: names:
    lib.concatStringsSep "\n" (map f (textClosureList predefined names));

  noDepEntry = text: {
    inherit text;
    deps = [ ];
  };
  fullDepEntry = text: deps: { inherit text deps; };
  packEntry = deps: {
    inherit deps;
    text = "";
  };
  stringAfter = deps: text: { inherit text deps; };
}
