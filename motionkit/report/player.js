// Keeps all videos of the page on the same frame: one clock, one slider, one button.
(() => {
  const players = document.querySelector(".players");
  const videos = [...players.querySelectorAll("video")];
  const [button, seek, shown, speed, zoom] = ["play", "seek", "shown", "speed", "zoom"].map((id) => document.getElementById(id));
  const count = Number(players.dataset.frames), fps = Number(players.dataset.fps);
  zoom.oninput = () => document.documentElement.style.setProperty("--tile", zoom.value + "px");
  if (!videos.length) { button.parentElement.hidden = true; return; } // nothing moves

  // Some browsers do not seek in data: addresses; blobs work in all of them.
  for (const video of videos) {
    const bytes = Uint8Array.from(atob(video.src.split(",")[1]), (c) => c.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  }
  const leader = videos[0];
  const middle = (frame) => (frame + 0.5) / fps; // inside a frame, never on the edge between two
  const frameNow = () => Math.min(count - 1, Math.max(0, Math.floor(leader.currentTime * fps + 1e-3)));
  let playing = false;

  const show = (frame) => { seek.value = frame; shown.textContent = `frame ${frame + 1} / ${count}`; };
  const goTo = (frame) => { for (const video of videos) video.currentTime = middle(frame); show(frame); };
  const pause = () => {
    playing = false; button.textContent = "Play";
    for (const video of videos) video.pause();
  };
  const start = () => {
    playing = true; button.textContent = "Pause";
    for (const video of videos) { video.playbackRate = Number(speed.value); video.play().catch(() => {}); }
    requestAnimationFrame(tick);
  };
  const tick = () => {
    if (!playing) return;
    if (leader.ended || leader.currentTime >= count / fps - 1e-3) { goTo(0); start(); return; }
    for (const video of videos.slice(1))
      if (Math.abs(video.currentTime - leader.currentTime) > 0.5 / fps) {
        video.currentTime = leader.currentTime;
        if (video.paused) video.play().catch(() => {});
      }
    show(frameNow());
    requestAnimationFrame(tick);
  };
  const step = (by) => { pause(); goTo((frameNow() + by + count) % count); };

  button.onclick = () => (playing ? (pause(), goTo(frameNow())) : start());
  seek.oninput = () => { pause(); goTo(Number(seek.value)); };
  speed.onchange = () => { for (const video of videos) video.playbackRate = Number(speed.value); };
  document.onkeydown = (event) => {
    if (event.target.matches?.("input, select, summary") && event.key !== "Escape") return;
    if (event.key === " ") { event.preventDefault(); button.onclick(); }
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  };
  Promise.all(videos.map((v) => new Promise((ready) => { v.onloadeddata = ready; v.onerror = ready; v.load(); })))
    .then(() => {
      const at = Number(new URLSearchParams(location.search).get("frame")) || 0; // report.html?frame=3 opens there
      goTo(Math.min(at, count - 1));
      if (!at && !matchMedia("(prefers-reduced-motion: reduce)").matches) start();
    });
})();
