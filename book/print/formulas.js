// Sets formulas without a browser, for readers that run no script: prints MathML and SVG of each.
//     node formulas.js FOLDER_OF_MATHJAX < formulas.json
// Standard input is a list of {tex, display}; standard output a list of {mathml, svg}, or {error} for one that MathJax
// does not understand.
const folder = process.argv[2];
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));

require(`${folder}/node-main.js`)
  .init({
    loader: { load: ["input/tex-full", "output/svg", "adaptors/liteDOM"], versionWarnings: false },
    tex: { packages: { "[-]": ["noerrors", "noundefined"] } }, // a mistake throws, and is not set in red
    svg: { fontCache: "none" }, // each formula holds its own letters, so that it can stand anywhere
    startup: { typeset: false },
  })
  .then((MathJax) => {
    const set = ({ tex, display }) => {
      try {
        const mathml = MathJax.tex2mml(tex, { display });
        const error = /data-mjx-error="([^"]*)"/.exec(mathml);
        if (error) return { error: error[1] };
        return { mathml, svg: MathJax.startup.adaptor.innerHTML(MathJax.tex2svg(tex, { display })) };
      } catch (error) {
        return { error: error.message };
      }
    };
    process.stdout.write(JSON.stringify(input.map(set)));
  });
