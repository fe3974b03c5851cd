"use strict";
(() => {
    const data = JSON.parse(document.getElementById("data").textContent);
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    const text = (time) => new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ");
    const scheme = matchMedia("(prefers-color-scheme: dark)");

    // Each plot replaces the drawing that readers without scripts see.
    for (const place of document.querySelectorAll("[data-plot]")) {
        const plot = data[place.dataset.plot];
        if (!plot || plot.times.length < 2) continue;
        const drawing = place.querySelector("svg");
        let chart = null;
        const draw = () => {
            if (chart) chart.destroy();
            const axis = { stroke: color("muted"), grid: { stroke: color("line") }, ticks: { stroke: color("line") } };
            chart = new uPlot({
                width: place.clientWidth,
                height: 240,
                tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
                scales: { y: { range: (_, low, high) => [0, high * 1.05 || 1] } },
                axes: [
                    { ...axis, space: 110, values: (_, times) => times.map(text) },
                    { ...axis, size: 64 },
                ],
                series: [
                    { label: "from", value: (_, time) => time === null ? "" : text(time) },
                    ...plot.series.map((one) => ({
                        label: one.label, stroke: color(one.color), fill: `${color(one.color)}33`, width: 1.5,
                        points: { show: false },
                    })),
                ],
            }, [plot.times, ...plot.series.map((one) => one.counts)], place);
        };
        draw();
        drawing.classList.add("replaced");
        place.querySelector(".legend")?.remove();
        scheme.addEventListener("change", draw);
        let width = place.clientWidth;
        addEventListener("resize", () => {
            if (place.clientWidth === width) return;
            width = place.clientWidth;
            chart.setSize({ width, height: 240 });
        });
    }

    const heat = document.getElementById("heat");
    if (heat) {
        const said = heat.querySelector("output");
        const svg = heat.querySelector("svg");
        const { left, top, cell, row, ports, starts, lines } = data.heat;
        svg.addEventListener("pointermove", (event) => {
            const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
            const x = Math.floor((point.x - left) / cell), y = Math.floor((point.y - top) / row);
            said.textContent = lines[y]?.[x] === undefined ? "" : `${ports[y]}, ${starts[x]}: ${lines[y][x]} lines`;
        });
    }
})();
