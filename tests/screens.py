"""Widths of screens, and a script that finds text of low contrast on a page."""

from __future__ import annotations

PHONE, DESK = 390, 1280

LOW_CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const known = new Map();
  const rgba = css => known.get(css) ?? known.set(css, draw(css)).get(css);
  const draw = css => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = c => { const [r, g, b] = c.map(v => { v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { const layers = [];
    for (let n = e; n; n = n.parentElement) layers.push(rgba(getComputedStyle(n).backgroundColor));
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255]); };
  const bad = new Set();
  for (const e of document.querySelectorAll('article *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length || e.closest('svg, .headerlink, button')) continue;
    const style = getComputedStyle(e), back = behind(e), size = parseFloat(style.fontSize);
    const a = light(over(rgba(style.color), back)), b = light(back);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < (size >= 24 ? 3 : 4.45)) bad.add(`${e.tagName} ${e.className} ${style.color} on ` +
      `${back.map(Math.round)} = ${ratio.toFixed(2)}: ${e.textContent.trim().slice(0, 30)}`);
  }
  return [...bad].slice(0, 5);
}"""
