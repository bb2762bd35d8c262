# The pipeline through Nix, with the pins of the lock files:
#   nix run .#deploy -- MODEL=model.onnx CALIB=calib.npy INPUT=input.npy TARGET=esp32s3
#   nix develop -c make demo
#   nix flake check
# From the model to the project and its run on this computer; ESP-IDF and the RISC-V emulator are not in it. x86-64 Linux
# only, as TVM's library is. docs/container.md says what of this was tried, and what not.
{
  description = "ONNX model to a verified ESP-IDF project";

  # NixOS 23.11, the last release with Python 3.8.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/205fd4226592cc83fd4c0885a3e4c9c400efabb5";

  outputs = { self, nixpkgs }:
    let
      # The wheels are for this system.
      system = "x86_64-linux";
      pkgs = nixpkgs.legacyPackages.${system};
      inherit (pkgs) lib;

      # The very files that the lock files allow: `make vendor` writes the list.
      wheels = pkgs.linkFarm "esp-tvm-wheels" (map
        (wheel: { inherit (wheel) name; path = pkgs.fetchurl { inherit (wheel) name url sha256; }; })
        (builtins.fromJSON (builtins.readFile ./scripts/wheels.json)));

      version = builtins.head (builtins.match ".*__version__ = \"([^\"]+)\".*"
        (builtins.readFile ./tools/esp_tvm/__init__.py));

      python = "${pkgs.python38}/bin/python3.8";
      # What the wheels and TVM's library expect from the system.
      libraries = lib.makeLibraryPath [ pkgs.stdenv.cc.cc.lib pkgs.zlib pkgs.ncurses ];
      # What the scripts call; gcc compiles the generated C for this computer.
      tools = with pkgs; [ bash coreutils diffutils findutils gawk gcc gnugrep gnumake gnused util-linux ];

      package = pkgs.stdenv.mkDerivation {
        pname = "esp-tvm";
        inherit version;
        src = lib.cleanSourceWith {
          src = ./.;
          # What the image has too; what set-up makes, and build products, are not the source.
          filter = path: type: !(builtins.elem (baseNameOf path) [ ".git" ".venv" "build" "tvm" "vendor" "__pycache__" ])
            || lib.hasSuffix "/tools/tvm" path;
        };
        nativeBuildInputs = tools ++ [ pkgs.binutils ];
        dontConfigure = true;
        dontBuild = true;
        # The set-up of everybody else, from wheels that are here already.
        installPhase = ''
          runHook preInstall
          root=$out/share/esp-tvm
          mkdir -p "$root" "$out/bin"
          cp -r LICENSE Makefile README.md bench scripts template_project_for_model tools "$root"
          mkdir "$root/examples"
          cp -r examples/digits "$root/examples"
          chmod -R u+w "$root"
          patchShebangs "$root/scripts"
          cd "$root"
          export HOME=$TMPDIR PYTHON=${python} WHEELS=${wheels} LD_LIBRARY_PATH=${libraries}
          bash scripts/setup.sh
          bash scripts/image-seal.sh
          rm -rf build
          find "$root/tools" "$root/scripts" -name '*.py' | sort | PYTHONHASHSEED=0 .venv/bin/python scripts/compile_python.py
          mkdir .pkl_memoize_py3
          cat > "$out/bin/esp-tvm" <<END
          #!${pkgs.bash}/bin/bash
          export PATH=${lib.makeBinPath tools}:\$PATH LD_LIBRARY_PATH=${libraries} PYTHONDONTWRITEBYTECODE=1
          exec "$root/scripts/entrypoint.sh" "\$@"
          END
          chmod +x "$out/bin/esp-tvm"
          runHook postInstall
        '';
        # TVM's library finds its stand-ins for CUDA through an rpath of its own.
        dontStrip = true;
        dontPatchELF = true;
        meta = {
          description = "ONNX model to a verified ESP-IDF project";
          license = lib.licenses.asl20;
          platforms = [ system ];
          mainProgram = "esp-tvm";
        };
      };

      # `nix run .#STEP -- NAME=value ...`
      step = word: {
        type = "app";
        program = "${pkgs.writeShellScript "esp-tvm-${word}" ''exec ${package}/bin/esp-tvm ${word} "$@"''}";
      };
    in
    {
      packages.${system}.default = package;

      apps.${system} = lib.genAttrs [ "preprocess" "quantize" "export" "run" "evaluate" "debug" "deploy" "report" "compare" "demo" "sbom" ] step
        // { default = { type = "app"; program = "${package}/bin/esp-tvm"; }; };

      devShells.${system}.default = pkgs.mkShell {
        packages = tools ++ [ pkgs.git ];
        shellHook = ''
          export PYTHON=${python} WHEELS=${wheels} LD_LIBRARY_PATH=${libraries}
        '';
      };

      checks.${system} = {
        # What a service account has: no home.
        demo = pkgs.runCommand "esp-tvm-demo" { } ''
          export HOME=/homeless-shelter
          ${package}/bin/esp-tvm demo
          cp -r build/digits/new_project $out
        '';
        # All steps for the digits model; every byte of the generated program is compared with the references.
        deploy = pkgs.runCommand "esp-tvm-deploy" { } ''
          cp ${./examples/digits}/*.npy ${./examples/digits}/model.onnx .
          ${package}/bin/esp-tvm deploy MODEL=model.onnx CALIB=calib.npy INPUT=input_sample.npy TARGET=esp32s3
          cp -r build/model/new_project $out
        '';
      };
    };
}
