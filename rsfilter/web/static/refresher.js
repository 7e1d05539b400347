// Keeps a view current: at once when something happened, every few seconds anyway, and never so
// often that the filter is busy with it.

import { ApiError } from "/static/api.js";

const EVERY_MS = 5000;
const LEAST_MS = 1000;
const SHARE = 4; // times as long as the last one took, until the next

export class Refresher {
  // refresh: async () -> nothing; told(error or null) after each; every: ms
  constructor(refresh, told, every = EVERY_MS) {
    this.refresh = refresh;
    this.told = told;
    this.every = every;
    this.isEnded = false;
    this.isBusy = false;
    this.isDue = false;
    this.pause = LEAST_MS;
    this.ended = -Infinity;
    this.timer = 0;
  }

  async now() {
    if (this.isEnded || this.isBusy) {
      this.isDue = true;
      return;
    }
    clearTimeout(this.timer);
    this.isBusy = true;
    this.isDue = false;
    const begun = performance.now();
    let error = null;
    try {
      await this.refresh();
    } catch (caught) {
      error = caught;
      if (!(caught instanceof ApiError)) console.error(caught);
    }
    this.ended = performance.now();
    this.pause = Math.max(LEAST_MS, SHARE * (this.ended - begun));
    this.isBusy = false;
    if (this.isEnded) return;
    this.told(error);
    this.after(this.isDue ? this.pause : Math.max(this.every, this.pause));
  }

  soon() {
    this.isDue = true;
    if (!this.isBusy) this.after(Math.max(0, this.ended + this.pause - performance.now()));
  }

  after(delay) {
    clearTimeout(this.timer);
    if (!this.isEnded && !document.hidden) this.timer = setTimeout(() => this.now(), delay);
  }

  end() {
    this.isEnded = true;
    clearTimeout(this.timer);
  }
}
