# Modules that keep old names of options working, or say what became of them.
{ lib }:
let
  inherit (lib)
    attrByPath
    concatMap
    foldl'
    getAttrFromPath
    mkIf
    mkMerge
    mkOption
    optional
    optionalAttrs
    setAttrByPath
    showFiles
    showOption
    types
    ;
  inherit (lib.modules) mkAliasAndWrapDefinitions mkAliasAndWrapDefsWithPriority;
in
rec {
  mkRemovedOptionModule =
    path: replacement:
    { options, ... }:
    {
      options = setAttrByPath path (mkOption {
        visible = false;
        apply =
          _:
          throw "The option `${showOption path}' can no longer be used since it's been removed. ${replacement}";
      });
      config.assertions =
        let
          opt = getAttrFromPath path options;
        in
        [
          {
            assertion = !opt.isDefined;
            message = ''
              The option definition `${showOption path}' in ${showFiles opt.files} no longer has any effect; please remove it.
              ${replacement}
            '';
          }
        ];
    };
  mkRenamedOptionModule =
    from: to:
    doRename {
      inherit from to;
      visible = false;
      warn = true;
      use = builtins.trace "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'.";
    };
  mkRenamedOptionModuleWith =
    {
      from,
      to,
      sinceRelease,
    }:
    mkRenamedOptionModule from to;
  mkAliasOptionModule =
    from: to:
    doRename {
      inherit from to;
      visible = true;
      warn = false;
      use = lib.id;
    };
  mkAliasOptionModuleMD = mkAliasOptionModule;
  doRename =
    {
      from,
      to,
      visible,
      warn,
      use,
      withPriority ? true,
      condition ? true,
    }:
    { config, options, ... }:
    let
      source = getAttrFromPath from options;
      target = attrByPath to { } options;
    in
    {
      options = setAttrByPath from (
        mkOption {
          inherit visible;
          description = "Alias of {option}`${showOption to}`.";
          type = target.type or (types.submodule { });
          apply =
            _:
            use (
              attrByPath to (abort "Renaming error: option `${showOption to}' does not exist.") config
            );
        }
      );
      config = mkIf condition (mkMerge [
        (optionalAttrs (options ? warnings) {
          warnings = optional (
            warn && source.isDefined
          ) "The option `${showOption from}' defined in ${showFiles source.files} has been renamed to `${showOption to}'.";
        })
        ((if withPriority then mkAliasAndWrapDefsWithPriority else mkAliasAndWrapDefinitions) (
          setAttrByPath to
        ) source)
      ]);
    };
  mkMergedOptionModule =
    froms: to: mergeFn:
    { config, options, ... }:
    {
      options = foldl' lib.recursiveUpdate { } (
        map (
          path:
          setAttrByPath path (mkOption {
            visible = false;
            # Tells a value that was given from none.
            default = "_mkMergedOptionModule";
          })
        ) froms
      );
      config = {
        warnings = concatMap (
          path:
          let
            opt = getAttrFromPath path options;
          in
          optional (getAttrFromPath path config != "_mkMergedOptionModule")
            "The option `${showOption path}' defined in ${showFiles opt.files} has been changed to `${showOption to}' that has a different type. Please read `${showOption to}' documentation and update your configuration accordingly."
        ) froms;
      }
      // setAttrByPath to (
        mkMerge (
          optional (builtins.any (
            path: getAttrFromPath path config != "_mkMergedOptionModule"
          ) froms) (mergeFn config)
        )
      );
    };
  mkChangedOptionModule =
    from: to: changeFn:
    mkMergedOptionModule [ from ] to changeFn;
}
